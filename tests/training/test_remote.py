"""Runs on object storage: what is there after any failure is whole, and any machine goes on from it."""

import json
import logging
import os
import shutil
import uuid
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import pytest
import torch
from safetensors.torch import load_file

from camml.errors import DiskError, OptionError
from camml.model import CamMLForConditionalGeneration
from camml.training import evaluating, recipes, remote
from camml.training.remote import MARKER, RemoteRun
from camml.training.train import train
from tests.training import runs


@pytest.fixture
def run(tmp_path: Path) -> RemoteRun:
    """A run in the memory of this process."""
    return RemoteRun(f"memory://{uuid.uuid4().hex}/run", tmp_path / "run", limit=2)


def checkpoint(run: RemoteRun, step: int, text: str = "weights", best: int | None = None) -> Path:
    """A finished checkpoint on this machine, as of a run that does not evaluate unless there is a best one."""
    folder = run.folder / f"checkpoint-{step}"
    (folder / "global_step").mkdir(parents=True)
    state = {"global_step": step, "best_global_step": best, "log_history": [text]}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    (folder / "global_step" / "shard").write_text(text)
    return folder


def save(run: RemoteRun, step: int, text: str = "weights", best: int | None = None) -> None:
    """As training does."""
    checkpoint(run, step, text, best)
    state = SimpleNamespace(global_step=step)
    args = SimpleNamespace(process_index=0, local_process_index=0, device="cpu")
    remote.Upload(run).on_save(args, state, SimpleNamespace())  # type: ignore[arg-type]


def begin(run: RemoteRun) -> None:
    run.folder.mkdir(parents=True)
    (run.folder / "run.json").write_text("{}")
    run.begin()


def elsewhere(run: RemoteRun, folder: Path) -> RemoteRun:
    """The run as another machine sees it."""
    return RemoteRun(run.address, folder, run.limit)


class TestCheckpoints:
    def test_the_newest_is_fetched_and_the_oldest_go(self, run: RemoteRun, tmp_path: Path) -> None:
        begin(run)
        for step in (2, 10, 9):
            save(run, step)
        assert list(run.finished()) == [9, 10]
        other = elsewhere(run, tmp_path / "other")
        other.fetch(None)
        assert (other.folder / "checkpoint-10" / "global_step" / "shard").read_text() == "weights"
        assert (other.folder / "run.json").exists()
        assert not (other.folder / "checkpoint-9").exists()
        assert not (other.folder / "checkpoint-10" / MARKER).exists()

    def test_one_without_its_mark_is_not_there(self, run: RemoteRun, tmp_path: Path) -> None:
        begin(run)
        save(run, 1)
        run.upload(checkpoint(run, 2))
        assert list(run.finished()) == [1]
        other = elsewhere(run, tmp_path / "other")
        other.fetch("True")
        assert [path.name for path in other.folder.glob("checkpoint-*")] == ["checkpoint-1"]
        run.complete(run.folder / "checkpoint-2")
        run.upload(run.folder / "checkpoint-2")  # again, as after an older one was resumed
        assert list(run.finished()) == [1]

    def test_a_failed_upload_is_a_warning_and_made_up_for(
        self, run: RemoteRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        begin(run)
        save(run, 1)
        with monkeypatch.context() as broken, caplog.at_level(logging.WARNING, "camml"):
            broken.setattr(run._system, "put_file", lambda *_: (_ for _ in ()).throw(ConnectionError("no route")))
            save(run, 2)
        assert "checkpoint-2 was not uploaded, training goes on" in caplog.text
        assert "no route" in caplog.text
        assert list(run.finished()) == [1]
        run.fetch(None, alone=False)
        assert not (run.folder / "checkpoint-2").exists(), "the other machines do not have it"
        checkpoint(run, 3)
        run.fetch(None)
        assert list(run.finished()) == [1, 3]

    def test_one_can_be_chosen_by_its_address(self, run: RemoteRun, tmp_path: Path) -> None:
        begin(run)
        save(run, 1)
        save(run, 2)
        other = elsewhere(run, tmp_path / "other")
        wanted = f"{run.address}/checkpoint-1"
        other.fetch(wanted)
        assert other.local(wanted) == str(other.folder / "checkpoint-1")
        assert (other.folder / "checkpoint-1" / "trainer_state.json").exists()
        with pytest.raises(OptionError, match="there are: checkpoint-1, checkpoint-2"):
            other.fetch(f"{run.address}/checkpoint-7")
        with pytest.raises(OptionError, match="earlier run"):
            other.fetch("False")

    def test_a_run_that_was_removed_there_begins_anew(self, run: RemoteRun) -> None:
        begin(run)
        save(run, 1)
        run._system.rm(run._root, recursive=True)
        run.fetch(None)
        assert not run.folder.exists()

    def test_what_arrives_short_is_not_used(
        self, run: RemoteRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begin(run)
        save(run, 1)
        run._system.pipe_file(f"{run._root}/checkpoint-1/global_step/shard", b"wei")
        other = elsewhere(run, tmp_path / "other")
        with pytest.raises(DiskError, match=r"global_step/shard: 3 bytes arrived of 7"):
            other.fetch(None)
        assert not (other.folder / "checkpoint-1").exists()

    def test_several_machines_upload_what_each_has(self, run: RemoteRun, tmp_path: Path) -> None:
        begin(run)
        run.upload(checkpoint(run, 1))
        second = elsewhere(run, tmp_path / "second")
        folder = checkpoint(second, 1)
        (folder / "global_step" / "shard").rename(folder / "global_step" / "shard-of-rank-1")
        second.upload(folder, missing_only=True)
        run.complete(run.folder / "checkpoint-1")
        assert sorted(run.finished()[1]) == ["global_step/shard", "global_step/shard-of-rank-1", "trainer_state.json"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*checkpoint-*"))


class TestTheBest:
    def test_is_never_rotated_away_and_fetched_with_the_newest(self, run: RemoteRun, tmp_path: Path) -> None:
        begin(run)
        for step in (10, 20, 30, 40):
            save(run, step, best=10)
        assert list(run.finished()) == [10, 30, 40]
        run.fetch(None)
        assert "checkpoint-10" in names(run.folder)
        other = elsewhere(run, tmp_path / "other")
        other.fetch(None)
        assert names(other.folder) == ["checkpoint-10", "checkpoint-40"]
        save(run, 50, best=50)
        assert list(run.finished()) == [40, 50]

    @pytest.mark.parametrize("alone", [True, False])
    def test_that_was_not_uploaded_stays_and_is_made_up_for(
        self, run: RemoteRun, alone: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begin(run)
        with monkeypatch.context() as broken:
            broken.setattr(run._system, "put_file", lambda *_: (_ for _ in ()).throw(ConnectionError("no route")))
            save(run, 10, best=10)
        save(run, 20, best=10)
        run.fetch(None, alone=alone)
        assert names(run.folder) == ["checkpoint-10", "checkpoint-20"]
        assert list(run.finished()) == ([10, 20] if alone else [20])

    @pytest.mark.long
    def test_becomes_the_model_of_a_run_that_another_machine_ends(
        self, bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scores = iter([0.9, 0.2, 0.1])
        monkeypatch.setattr(evaluating, "exact_match", lambda _: {"exact_match": next(scores)})
        held_out = {"eval_data": bench / "train.json", "eval_neighbors": bench / "neighbors", "eval_rows": 3}
        more = held_out | {"eval_steps": 2, "save_total_limit": 1, "output_dir": f"memory://{uuid.uuid4().hex}/run"}
        monkeypatch.setenv("CAMML_HOME", str(tmp_path / "first"))
        first = train(recipes.parse(runs.flags(bench, **more, max_steps=4)))
        best = load_file(first / "checkpoint-2" / "model.safetensors")
        monkeypatch.setenv("CAMML_HOME", str(tmp_path / "second"))
        again = train(recipes.parse(runs.flags(bench, **more, max_steps=6)))
        assert str(tmp_path / "second") in str(again)
        final = load_file(again / "model.safetensors")
        assert all(torch.equal(final[name], best[name]) for name in best)


class TestTheModelOfAnEarlierRun:
    @pytest.fixture
    def finished(self, run: RemoteRun) -> RemoteRun:
        """A LoRA run that is finished there, without checkpoints."""
        begin(run)
        for name in ("adapter_config.json", "camml_base.json", "vlm_processor/old.json"):
            (run.folder / name).parent.mkdir(exist_ok=True)
            (run.folder / name).write_text("old")
        run.upload(run.folder)
        return run

    def test_is_not_replaced_unasked(self, finished: RemoteRun, tmp_path: Path) -> None:
        other = elsewhere(finished, tmp_path / "other")
        with pytest.raises(OptionError, match=rf"{finished.address} holds a finished adapter .*--overwrite_output_dir"):
            other.check_free(replace=False)
        other.check_free(replace=True)
        save(finished, 2)
        other.check_free(replace=False)

    def test_leaves_nothing_where_it_is(self, finished: RemoteRun, tmp_path: Path) -> None:
        other = elsewhere(finished, tmp_path / "other")
        other.fetch(None)
        for name in ("config.json", "vlm_processor/new.json"):
            (other.folder / name).parent.mkdir(exist_ok=True)
            (other.folder / name).write_text("new")
        other.publish()
        system, root = other._system, other._root
        there = {path.removeprefix(root).removeprefix("/") for path in system.find(root)}
        assert there == {"run.json", "config.json", "vlm_processor/new.json"}


class TestAnAbandonedBranch:
    """A run goes on from its checkpoint 2, though it has later ones."""

    @pytest.fixture
    def branched(self, run: RemoteRun, tmp_path: Path) -> RemoteRun:
        """The run on another machine, which has saved one checkpoint of the new branch."""
        begin(run)
        for step in (2, 8, 10):
            save(run, step, best=2)
        other = elsewhere(run, tmp_path / "other")
        wanted = f"{run.address}/checkpoint-2"
        other.fetch(wanted)
        resume = remote.checkpoints.to_resume(other.folder, other.local(wanted))
        assert resume is not None
        other.abandon_later(resume)
        save(other, 8, "changed", best=2)
        return other

    def test_is_renamed_there_and_neither_displaces_the_new_one_nor_is_taken(self, branched: RemoteRun) -> None:
        assert list(branched.finished()) == [2, 8]
        system, root = branched._system, branched._root
        assert system.cat_file(f"{root}/checkpoint-8/global_step/shard") == b"changed"
        assert system.cat_file(f"{root}/abandoned-checkpoint-8/global_step/shard") == b"weights"
        assert system.cat_file(f"{root}/abandoned-checkpoint-10/global_step/shard") == b"weights"
        assert system.exists(f"{root}/abandoned-checkpoint-10/{MARKER}"), "renamed again, it would not be whole"
        with pytest.raises(OptionError, match="no finished checkpoint there; there are: checkpoint-2, checkpoint-8"):
            branched.fetch(f"{branched.address}/abandoned-checkpoint-8")
        branched.abandon_later(branched.folder / "checkpoint-2")
        assert list(branched.finished()) == [2]
        assert system.cat_file(f"{root}/abandoned-checkpoint-8-2/global_step/shard") == b"changed"

    def test_is_not_brought_back_by_a_machine_that_has_it_still(self, run: RemoteRun, branched: RemoteRun) -> None:
        assert names(run.folder) == ["checkpoint-10", "checkpoint-2", "checkpoint-8"]
        run.fetch(None)
        assert names(run.folder) == ["checkpoint-2", "checkpoint-8"]
        assert (run.folder / "checkpoint-8" / "global_step" / "shard").read_text() == "changed"
        assert list(run.finished()) == [2, 8]


def test_addresses_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="nowhere://a/b"):
        RemoteRun("nowhere://a/b", tmp_path)
    if find_spec("gcsfs") is None:
        with pytest.raises(OptionError, match="install the package of fsspec for gs"):
            RemoteRun("gs://bucket/run", tmp_path)


@pytest.mark.long
def test_a_run_on_s3_is_continued_on_another_machine(
    bench: Path, tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    monkeypatch.setenv("CAMML_HOME", str(tmp_path / "first"))
    more = {"save_strategy": "steps", "save_steps": 4, "save_total_limit": 2, "output_dir": f"{bucket}/runs/one"}
    arguments = runs.flags(bench, **more, perceiver_dropout=0.1)
    whole = train(recipes.parse(arguments))
    system: Any = fsspec.filesystem("s3")
    system.invalidate_cache()
    root = f"{bucket}/runs/one".removeprefix("s3://")
    there = [path.removeprefix(f"{root}/") for path in system.find(root)]
    assert {name.split("/")[0] for name in there if name.startswith("checkpoint-")} == {"checkpoint-8", "checkpoint-12"}
    assert {"config.json", "model.safetensors", "run.json", "README.md", "loss.png"} <= set(there)
    assert not any(remote.checkpoints.UNFINISHED in name for name in there)
    wanted = runs.losses(whole)
    # the machine is lost while the last checkpoint is on its way
    shutil.copytree(whole, tmp_path / "whole")
    shutil.rmtree(tmp_path / "first")
    system.rm(f"{root}/checkpoint-12/{MARKER}")
    monkeypatch.setenv("CAMML_HOME", str(tmp_path / "second"))
    again = train(recipes.parse(arguments))
    assert str(tmp_path / "second") in str(again)
    assert runs.losses(again) == wanted
    assert min(int(path.name.split("-")[1]) for path in again.glob("checkpoint-*")) == 8
    first, other = (
        CamMLForConditionalGeneration.from_pretrained(folder).state_dict() for folder in (tmp_path / "whole", again)
    )
    assert all(torch.equal(first[name], other[name]) for name in first)
    system.get(root, str(tmp_path / "fetched"), recursive=True)
    assert os.path.getsize(tmp_path / "fetched" / "model.safetensors") > 0
    CamMLForConditionalGeneration.from_pretrained(tmp_path / "fetched")
