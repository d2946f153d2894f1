"""Checkpoints: whole or not there."""

import json
from pathlib import Path

import pytest

from camml.errors import OptionError
from camml.training import checkpoints


def checkpoint(output: Path, step: int) -> Path:
    folder = output / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step, "best_global_step": None}))
    return folder


def test_the_newest_whole_one_is_taken(tmp_path: Path) -> None:
    assert checkpoints.to_resume(tmp_path / "nothing", None) is None
    for step in (2, 10, 9):
        checkpoint(tmp_path, step)
    (tmp_path / "checkpoint-11").mkdir()
    checkpoint(tmp_path / ".unfinished", 12)
    assert [path.name for path in checkpoints.finished(tmp_path)] == ["checkpoint-2", "checkpoint-9", "checkpoint-10"]
    assert checkpoints.to_resume(tmp_path, None) == tmp_path / "checkpoint-10"
    assert checkpoints.to_resume(tmp_path, "True") == tmp_path / "checkpoint-10"
    assert checkpoints.to_resume(tmp_path, str(tmp_path / "checkpoint-2")) == tmp_path / "checkpoint-2"
    with pytest.raises(OptionError, match="earlier run"):
        checkpoints.to_resume(tmp_path, "False")
    with pytest.raises(OptionError, match="checkpoint-10"):
        checkpoints.to_resume(tmp_path, str(tmp_path / "checkpoint-11"))


def test_one_may_be_named_as_it_is_called_in_the_folder_of_the_run(tmp_path: Path) -> None:
    for step in (2, 4):
        checkpoint(tmp_path, step)
    for name in ("checkpoint-2", "checkpoint-2/"):
        assert checkpoints.to_resume(tmp_path, name) == tmp_path / "checkpoint-2"
    with pytest.raises(OptionError, match=r"checkpoint-3: no finished checkpoint there; there are: checkpoint-2"):
        checkpoints.to_resume(tmp_path, "checkpoint-3")


def test_a_commit_is_one_rename(tmp_path: Path) -> None:
    unfinished = checkpoint(tmp_path / ".unfinished", 3)
    (unfinished / "deep").mkdir()
    (unfinished / "deep" / "file").write_text("x")
    checkpoints.commit(unfinished, tmp_path / "checkpoint-3")
    assert (tmp_path / "checkpoint-3" / "deep" / "file").read_text() == "x"
    assert not unfinished.exists()


@pytest.mark.parametrize(("limit", "left"), [(None, 4), (0, 4), (1, 1), (3, 3), (9, 4)])
def test_the_oldest_go(tmp_path: Path, limit: int | None, left: int) -> None:
    for step in (1, 2, 3, 20):
        checkpoint(tmp_path, step)
    checkpoints.rotate(tmp_path, limit)
    there = checkpoints.finished(tmp_path)
    assert len(there) == left
    assert there[-1].name == "checkpoint-20"


def test_later_ones_of_a_branch_that_is_left_are_renamed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for step in (2, 8, 10):
        checkpoint(tmp_path, step)
    checkpoints.abandon_later(tmp_path, tmp_path / "checkpoint-10")
    assert "abandoned" not in caplog.text
    checkpoints.abandon_later(tmp_path, tmp_path / "checkpoint-2")
    assert "checkpoint-8, checkpoint-10" in caplog.text
    assert "abandoned-checkpoint-8, abandoned-checkpoint-10" in caplog.text
    for step in (4, 6, 8):  # none of them is displaced by those of before
        checkpoint(tmp_path, step)
        checkpoints.rotate(tmp_path, 2, best=2)
        assert checkpoints.to_resume(tmp_path, None) == tmp_path / f"checkpoint-{step}"
    checkpoints.abandon_later(tmp_path, tmp_path / "checkpoint-6")
    assert {path.name for path in tmp_path.glob("*checkpoint-*")} == {
        "checkpoint-2", "checkpoint-6", "abandoned-checkpoint-8", "abandoned-checkpoint-8-2", "abandoned-checkpoint-10",
    }  # fmt: skip


def test_those_of_this_folder_are_left_for_one_of_another_folder(tmp_path: Path) -> None:
    for step in (2, 4, 6):
        checkpoint(tmp_path / "out", step)
    checkpoints.abandon_later(tmp_path / "out", checkpoint(tmp_path / "elsewhere", 4))
    assert [path.name for path in checkpoints.finished(tmp_path / "out")] == ["checkpoint-2"]


@pytest.mark.parametrize("text", ["", "[]", '{"global_step": null}'])
def test_a_state_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    folder = checkpoint(tmp_path, 2)
    (folder / "trainer_state.json").write_text(text)
    with pytest.raises(OptionError, match=r"checkpoint-2.trainer_state\.json cannot be used"):
        checkpoints.abandon_later(tmp_path, folder)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("Error(s) in loading:\n\tsize mismatch for a: 4, 8.\n\tsize mismatch for b"), "for a: 4, 8"),
        (ValueError("loaded state dict has a different number of parameter groups"), "number of parameter groups"),
    ],
)
def test_what_does_not_fit_is_one_line(error: Exception, said: str) -> None:
    line = rf"^out/checkpoint-2 does not fit this run \([^\n]*{said}\); [^\n]*$"
    with pytest.raises(OptionError, match=line), checkpoints.fitting("out/checkpoint-2"):
        raise error


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="out of memory"), checkpoints.fitting("out/checkpoint-2"):
        raise RuntimeError("out of memory")
