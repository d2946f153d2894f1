"""Checkpoints: whole or not there."""

from pathlib import Path

import pytest

from camml.errors import OptionError
from camml.training import checkpoints


def checkpoint(output: Path, step: int) -> Path:
    folder = output / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "trainer_state.json").write_text("{}")
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


def test_the_configuration_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unfinished = tmp_path / "out" / ".unfinished" / "final"
    unfinished.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "a.json"):
        (unfinished / name).write_text(name)
    order: list[str] = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, target: (order.append(self.name), replace(self, target))[1])
    checkpoints.publish(unfinished, tmp_path / "out")
    assert order[-1] == "config.json"
    assert sorted(order) == ["a.json", "config.json", "model.safetensors"]
    assert not unfinished.exists()
