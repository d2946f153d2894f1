"""The settings that must stay for a run to be resumed, and those that may change."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from camml.cli import main
from camml.errors import OptionError
from camml.training import recipes, resuming
from camml.training.reports import Record
from tests import tiny
from tests.training import runs

LORA = {"tune": "lora", "lora_r": 4}
BEGUN_WITH = {**LORA, "max_steps": 2, "save_strategy": "steps", "save_steps": 1}


def record(bench: Path, **flags: Any) -> Record:
    return Record.of(recipes.parse(runs.flags(bench, **BEGUN_WITH | flags)), [])


def other_weights(folder: Path, seed: int = 5) -> Path:
    torch.manual_seed(seed)
    AutoModelForCausalLM.from_config(tiny.text_config()).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def begun(bench: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that began, with its record."""
    folder = tmp_path_factory.mktemp("begun")
    record(bench).write(folder)
    return folder


@pytest.mark.parametrize(
    "flags",
    [
        {"max_steps": 9}, {"save_steps": 7}, {"logging_steps": 3}, {"output_dir": "elsewhere"}, {"learning_rate": 1e-5},
        {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2}, {"save_total_limit": 1},
        {"lora_dropout": 0.2}, {"perceiver_init": "copy"}, {"version": "auto"}, {"lazy_preprocess": True},
        {"per_device_eval_batch_size": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_run_may_go_on_with_other_flags_about_its_course(begun: Path, bench: Path, flags: dict[str, Any]) -> None:
    record(bench, **flags).check_same(begun)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"seed": 7}, r"another seed \(42, now 7\)"),
        ({"data_seed": 7}, r"another --data_seed \(42, now 7\)"),
        ({"per_device_train_batch_size": 4}, r"another step rows \(2, now 4\)"),
        ({"tune": "full"}, "another tune"),
        ({"lora_r": 8}, r"another --lora_r \(4, now 8\)"),
        ({"lora_alpha": 64}, r"another --lora_alpha \(16, now 64\)"),
        ({"lora_bias": "all"}, "another --lora_bias"),
        ({"lora_alone": True}, "another --lora_alone"),
        ({"icl_num": 1}, r"another --icl_num \(2, now 1\)"),
        ({"random_shots_training": False}, "another --random_shots_training"),
        ({"group_by_modality_length": False}, "another --group_by_modality_length"),
        ({"perceiver_querys": 4}, "another --perceiver_querys"),
        ({"perceiver_positions": True}, "another --perceiver_positions"),
        ({"prompt_style": "official"}, "another --prompt_style"),
        ({"image_size": 56}, "another --image_size"),
    ],
    ids=str,
)
def test_what_decides_about_a_run_cannot_change(begun: Path, bench: Path, flags: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        record(bench, **flags).check_same(begun)


def test_flags_of_lora_do_not_count_where_there_is_none(bench: Path, tmp_path: Path) -> None:
    record(bench, tune="perceiver", lora_r=4).write(tmp_path)
    record(bench, tune="perceiver", lora_r=8).check_same(tmp_path)


def test_flags_that_a_camml_model_does_not_heed_do_not_count(bench: Path, tmp_path: Path) -> None:
    tiny.model().save_pretrained(tmp_path / "camml")
    tiny.processor().save_pretrained(tmp_path / "camml")
    start = {"model_name_or_path": tmp_path / "camml", "vision_tower": None}
    record(bench, **start).write(tmp_path)
    record(bench, **start, perceiver_querys=9, image_size=56).check_same(tmp_path)


@pytest.mark.parametrize("earlier", [False, True], ids=["now", "of an earlier version"])
class TestTheBase:
    def write(self, record: Record, folder: Path, earlier: bool) -> None:
        record.write(folder)
        if earlier:
            about = json.loads((folder / "run.json").read_text())
            del about["base"]
            (folder / "run.json").write_text(json.dumps(about))

    def test_another_one_is_refused(self, bench: Path, tmp_path: Path, earlier: bool) -> None:
        self.write(record(bench), tmp_path, earlier)
        other = other_weights(tmp_path / "other")
        with pytest.raises(OptionError, match=rf"another --model_name_or_path \(.*language', now '{other}'\)"):
            record(bench, model_name_or_path=other).check_same(tmp_path)

    def test_a_moved_one_is_not(self, bench: Path, tmp_path: Path, earlier: bool) -> None:
        shutil.copytree(bench / "language", tmp_path / "before")
        self.write(record(bench, model_name_or_path=tmp_path / "before"), tmp_path, earlier)
        (tmp_path / "before").rename(tmp_path / "after")
        record(bench, model_name_or_path=tmp_path / "after").check_same(tmp_path)


def test_a_base_that_was_trained_since_is_refused(bench: Path, tmp_path: Path) -> None:
    shutil.copytree(bench / "language", tmp_path / "language")
    record(bench, model_name_or_path=tmp_path / "language").write(tmp_path)
    other_weights(tmp_path / "language")
    with pytest.raises(OptionError, match="other weights in --model_name_or_path"):
        record(bench, model_name_or_path=tmp_path / "language").check_same(tmp_path)


def test_a_base_that_was_trained_since_does_not_matter_where_checkpoints_hold_all(bench: Path, tmp_path: Path) -> None:
    shutil.copytree(bench / "language", tmp_path / "language")
    whole = {"model_name_or_path": tmp_path / "language", "tune": "perceiver"}
    record(bench, **whole).write(tmp_path)
    other_weights(tmp_path / "language")
    record(bench, **whole).check_same(tmp_path)
    with pytest.raises(OptionError, match="another --model_name_or_path"):
        record(bench, tune="perceiver", model_name_or_path=other_weights(tmp_path / "other", 6)).check_same(tmp_path)


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_models_are_told_apart_by_the_beginnings_of_their_tensors(tmp_path: Path, ending: str) -> None:
    from safetensors.torch import save_file

    write = save_file if ending == "safetensors" else torch.save

    def hash_of(name: str, value: float) -> str:
        tensors = {"a": torch.zeros(3, 4, 2000), "b": torch.tensor(2.0), "c": torch.full((5,), value).bfloat16()}
        (tmp_path / name).mkdir()
        write(tensors, tmp_path / name / f"model.{ending}")
        return resuming.sampled_hash(tmp_path / name)

    assert hash_of("first", 1.0) == hash_of("same", 1.0) != hash_of("other", 1.5)


def test_a_record_of_an_earlier_version_that_says_less_does_not_stop_a_run(bench: Path, tmp_path: Path) -> None:
    for about in (
        {},
        {"settings": {}},
        {"seed": 42, "model": {}, "settings": {}},
        {"model": {"lora_r": 4, "model_name_or_path": "gone"}},
    ):
        (tmp_path / "run.json").write_text(json.dumps(about))
        record(bench, icl_num=3, random_shots_training=False, group_by_modality_length=False).check_same(tmp_path)
    record(bench).check_same(tmp_path / "nothing")


@pytest.mark.parametrize("text", ["", "[]", '{"seed": '])
def test_a_record_that_cannot_be_read_is_named(bench: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / resuming.RUN).write_text(text)
    with pytest.raises(OptionError, match=r"run\.json cannot be used"):
        record(bench).check_same(tmp_path)


@pytest.mark.long
def test_a_run_is_not_resumed_as_another_one(bench: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def resume(**flags: Any) -> int:
        more = BEGUN_WITH | {"output_dir": tmp_path / "out", "max_steps": 3} | flags
        return main(["train", *runs.flags(bench, **more)])

    assert resume(max_steps=2) == 0
    before = (tmp_path / "out" / "camml_base.json").read_text()
    capsys.readouterr()
    assert resume(model_name_or_path=other_weights(tmp_path / "other")) == 2
    assert "choose another --output_dir" in capsys.readouterr().err
    named = {"output_dir": tmp_path / "new", "resume_from_checkpoint": tmp_path / "out" / "checkpoint-2"}
    assert resume(**named, seed=7) == 2
    assert "another seed (42, now 7), which cannot be continued; give what it began with, or leave " in (
        capsys.readouterr().err
    )
    assert not list((tmp_path / "new").glob("*"))
    assert resume(**named) == 0
    (tmp_path / "out" / "run.json").unlink()  # then nothing but the tensors tells
    assert resume(lora_r=8) == 2
    assert "checkpoint-2 does not fit this run (" in (said := capsys.readouterr().err)
    assert len(said.strip().splitlines()[-1]) < 500
    assert not (tmp_path / "out" / "run.json").exists()
    assert resume(lora_learning_rate=1e-4) == 2
    assert "does not fit this run (loaded state dict has a different number of parameter groups)" in (
        capsys.readouterr().err
    )
    assert (tmp_path / "out" / "camml_base.json").read_text() == before


class TestNothingLeftToTrain:
    @pytest.fixture
    def finished(self, bench: Path, tmp_path: Path) -> Path:
        """A run that is finished."""
        assert main(["train", *runs.flags(bench, **self.flags(tmp_path))]) == 0
        return tmp_path / "out"

    def flags(self, folder: Path, **more: Any) -> dict[str, Any]:
        return {"output_dir": folder / "out"} | BEGUN_WITH | more

    @pytest.mark.long
    def test_the_record_stays_and_it_is_said(
        self, finished: Path, bench: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        kept = {name: (finished / name).read_bytes() for name in ("run.json", "README.md", "adapter_model.safetensors")}
        again = self.flags(tmp_path, max_steps=1, learning_rate=5e-2)
        capsys.readouterr()
        assert main(["train", *runs.flags(bench, **again)]) == 0
        said = "camml: nothing was left to train: the checkpoint is of step 2, the run ends with step 1\n"
        assert said in capsys.readouterr().err
        assert {name: (finished / name).read_bytes() for name in kept} == kept

    @pytest.mark.long
    def test_in_another_folder_the_record_is_that_of_the_run(self, finished: Path, bench: Path, tmp_path: Path) -> None:
        more = {"resume_from_checkpoint": finished / "checkpoint-2", "output_dir": tmp_path / "other"}
        assert main(["train", *runs.flags(bench, **self.flags(tmp_path, learning_rate=5e-2, **more))]) == 0
        before, now = (json.loads((tmp_path / name / "run.json").read_bytes()) for name in ("out", "other"))
        assert now["settings"] == before["settings"]
        assert now["result"]["steps"] == 2

    @pytest.mark.long
    def test_a_run_that_was_stopped_before_its_model_was_written_is_completed(
        self, finished: Path, bench: Path, tmp_path: Path
    ) -> None:
        record = json.loads((finished / "run.json").read_bytes())
        (finished / "run.json").write_text(json.dumps(record | {"result": {}}))
        (finished / "adapter_config.json").unlink()
        assert main(["train", *runs.flags(bench, **self.flags(tmp_path, learning_rate=5e-2))]) == 0
        now = json.loads((finished / "run.json").read_bytes())
        assert now["settings"] == record["settings"]
        assert now["result"]["steps"] == 2
        assert (finished / "adapter_config.json").is_file()


@pytest.mark.parametrize("asked", ["check", "dry_run"])
def test_checks_compare_with_the_run_that_would_be_resumed(
    asked: str, bench: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(bench).write(tmp_path)
    (tmp_path / "checkpoint-1").mkdir()
    (tmp_path / "checkpoint-1/trainer_state.json").write_text('{"global_step": 1}')
    begun = {**BEGUN_WITH, "output_dir": tmp_path, asked: True}
    assert main(["train", *runs.flags(bench, **begun, seed=7)]) == 2
    assert f"{tmp_path} holds a run with another seed (42, now 7)" in capsys.readouterr().err
    assert main(["train", *runs.flags(bench, **begun, per_device_train_batch_size=1)]) == 0, "processes are not known"


def test_a_check_before_the_neighbors_are_there_compares_the_rest(
    bench: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(bench).write(tmp_path)
    (tmp_path / "checkpoint-1").mkdir()
    (tmp_path / "checkpoint-1/trainer_state.json").write_text('{"global_step": 1}')
    begun = {**BEGUN_WITH, "output_dir": tmp_path, "neighbors": tmp_path / "later", "check": True}
    assert main(["train", *runs.flags(bench, **begun)]) == 0
    assert main(["train", *runs.flags(bench, **begun, lora_alpha=3)]) == 2
    assert "another --lora_alpha (16, now 3)" in capsys.readouterr().err
