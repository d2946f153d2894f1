"""More context tokens for a packed model that copies words: nothing else changes, and its tokens still are words."""

import errno
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from camml.model.folder import PACKED
from camml.model.loading import load_model
from camml.types import Sample

REPOSITORY = Path(__file__).parents[2]
MINI = REPOSITORY / "models" / "camml-mini"
Widen = Callable[..., int]


@pytest.fixture
def widen(monkeypatch: pytest.MonkeyPatch) -> Widen:
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts"))
    import widen_context

    def call(source: Path, out: Path, queries: int = 20, image_size: int = 70) -> int:
        flags = ["--queries", str(queries), "--image-size", str(image_size), "--passages", "9-40"]
        monkeypatch.setattr(sys, "argv", ["widen_context.py", str(source), str(out), *flags])
        return widen_context.main()

    return call


def test_sizes_and_queries_change_and_nothing_else(widen: Widen, tmp_path: Path) -> None:
    assert widen(MINI, tmp_path / "out") == 0
    about, before = (json.loads((folder / PACKED).read_text()) for folder in (tmp_path / "out", MINI))
    assert about["retrieval"].pop("passages") == "9-40"
    changed = {"perceiver_queries": 20, "image_size": 70, "image_pooling": 5}
    assert {name: about["sizes"].pop(name) for name in changed} == changed
    before["retrieval"].pop("passages")
    assert all(before["sizes"].pop(name) for name in changed)
    assert about == before
    new, old = (load_file(folder / "between.safetensors") for folder in (tmp_path / "out", MINI))
    differing = {name for name in old if not torch.equal(new[name], old[name])}
    assert differing == {"context_perceiver.vision_queries", "context_perceiver.text_queries"}
    assert {tuple(new[name].shape) for name in differing} == {(1, 20, 640)}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.long
def test_the_tokens_of_the_result_are_the_words_of_a_sample(widen: Widen, tmp_path: Path) -> None:
    assert widen(MINI, tmp_path / "out") == 0
    model, processor = load_model(tmp_path / "out")
    text = "The pump Alma was bought in 1987 by Mirond Japqua for 8,120 crowns, and it weighs 412 kg without its cover."
    inputs = processor.prepare(["What?"], samples=[[Sample("a", text)]])
    given = {name.removeprefix("sample_"): value for name, value in inputs.items() if name.startswith("sample_")}
    with torch.no_grad():
        [tokens] = model.embed_context(**given)
    words = torch.nn.functional.normalize(model.get_input_embeddings().weight, dim=1)
    wanted = processor.sample_ids(text)[:40]
    assert (torch.nn.functional.normalize(tokens, dim=1) @ words.T).argmax(dim=1)[: len(wanted)].tolist() == wanted


@pytest.mark.parametrize(("queries", "size"), [(30, 70), (20, 71), (26, 70)])
def test_too_few_patches_are_an_error(widen: Widen, tmp_path: Path, capsys, queries: int, size: int) -> None:
    assert widen(MINI, tmp_path / "out", queries, size) == 2
    assert "patches" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_left_alone(widen: Widen, tmp_path: Path, capsys) -> None:
    (tmp_path / "out").mkdir()
    assert widen(MINI, tmp_path / "out") == 2
    assert "exists" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_of_something_else_is_named(widen: Widen, tmp_path: Path, capsys) -> None:
    assert widen(tmp_path, tmp_path / "out") == 2
    assert "no packed model" in capsys.readouterr().err


def test_queries_that_training_changed_are_not_replaced(widen: Widen, tmp_path: Path, capsys) -> None:
    source = shutil.copytree(MINI, tmp_path / "source")
    tensors = load_file(source / "between.safetensors")
    tensors["context_perceiver.text_queries"] += 0.1
    save_file(tensors, source / "between.safetensors")
    assert widen(source, tmp_path / "out") == 2
    assert "no longer copies words" in capsys.readouterr().err


def test_a_full_disk_is_said_and_nothing_is_left(
    widen: Widen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(file: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(file))

    monkeypatch.setattr("camml.model.folder.sync", full)
    assert widen(MINI, tmp_path / "out") == 2
    assert "No space left on device; free some space" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
