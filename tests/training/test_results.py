"""The finished model in the folder of a run: what may take its place, and that the two never mix."""

import json
from pathlib import Path

import pytest

from camml.cli import main
from camml.errors import DiskError, OptionError
from camml.model import lora
from camml.training import recipes, results
from camml.training.train import train
from tests.training import runs

FULL = {"config.json", "generation_config.json", "model.safetensors", "processor_config.json", "vlm_processor/a.json"}
SHARDED = {"config.json", "model-00001-of-00002.safetensors", "model.safetensors.index.json", "retrieval.json",
           "processor_config.json", "vlm_processor/b.json"}  # fmt: skip
LORA = {"adapter_config.json", "adapter_model.safetensors", "between.safetensors", "camml_base.json",
        "processor_config.json", "vlm_processor/a.json"}  # fmt: skip
PACKED = {"packed.json", "between.safetensors", "lora.safetensors"}
OTHERS = {"notes.txt", "run.json", "model-of-mine.safetensors", "checkpoint-2/config.json", "teacher/model.safetensors"}


def write(folder: Path, names: set[str], text: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def model_in(folder: Path) -> dict[str, str]:
    """The files of a model by their names, and what is in each."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_text() for name, path in files.items() if results.is_of_model(name)}


@pytest.mark.parametrize("new", [FULL, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("old", [FULL, SHARDED, LORA, PACKED], ids=["full", "sharded", "lora", "packed"])
def test_a_model_takes_the_place_of_another_and_no_interruption_mixes_them(
    old: set[str], new: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, done = 0, False
    while not done:
        output = tmp_path / str(steps)
        write(output, old, "old")
        write(output, OTHERS, "other")
        write(output / ".unfinished/final", new, "new")
        left = steps

        def counted(call):  # type: ignore[no-untyped-def]
            def wrapped(*arguments, **options):  # type: ignore[no-untyped-def]
                nonlocal left
                if not left:
                    raise OSError("killed")
                left -= 1
                return call(*arguments, **options)

            return wrapped

        with monkeypatch.context() as killed:
            killed.setattr(Path, "unlink", counted(Path.unlink))
            killed.setattr(Path, "replace", counted(Path.replace))
            try:
                results.publish(output / ".unfinished/final", output)
                done = True
            except DiskError:
                pass
        there = model_in(output)
        if any(name in there for name in results.KINDS):
            assert there in (dict.fromkeys(old, "old"), dict.fromkeys(new, "new")), steps
        assert all((output / name).read_text() == "other" for name in OTHERS)
        steps += 1
    assert model_in(output) == dict.fromkeys(new, "new")
    assert not (output / ".unfinished/final").exists()


def test_what_makes_a_model_of_a_folder_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "out/.unfinished/final", {"config.json", "model.safetensors", "a.json"}, "new")
    order: list[str] = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, target: (order.append(self.name), replace(self, target))[1])
    results.publish(tmp_path / "out/.unfinished/final", tmp_path / "out")
    assert order[-1] == "config.json"
    assert sorted(order) == ["a.json", "config.json", "model.safetensors"]


@pytest.mark.parametrize("asked", [{}, {"check": True}, {"dry_run": True}], ids=["train", "check", "dry run"])
@pytest.mark.parametrize(
    ("files", "kind"),
    [(FULL, "model"), (LORA, "adapter (LoRA)"), (PACKED, "packed model")],
    ids=["full", "lora", "packed"],
)
def test_a_run_does_not_begin_where_a_finished_model_is(
    files: set[str], kind: str, asked: dict[str, bool], bench: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    write(out, files, "old")
    record = {"tune": "full", "seed": 7, "result": {"finished": "2026-11-30"}}
    (out / "run.json").write_text(json.dumps(record))
    assert main(["train", *runs.flags(bench, output_dir=out, **asked)]) == 2
    error = capsys.readouterr().err
    assert f"{out} holds a finished {kind} (--tune full, --seed 7, finished 2026-11-30)" in error
    assert "another --output_dir, or replace what is there with --overwrite_output_dir True" in error
    assert model_in(out) == dict.fromkeys(files, "old")
    assert json.loads((out / "run.json").read_text()) == record


@pytest.mark.parametrize("flag", ["model_name_or_path", "vision_tower"])
def test_what_a_run_starts_from_is_never_replaced(
    flag: str, bench: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "link").symlink_to(bench / {"model_name_or_path": "language", "vision_tower": "tower"}[flag])
    more = {"output_dir": tmp_path / "link", "overwrite_output_dir": True}
    assert main(["train", *runs.flags(bench, **more)]) == 2
    assert f"{tmp_path / 'link'} is the folder of --{flag}, which the run starts from" in capsys.readouterr().err


def test_a_folder_with_a_checkpoint_is_gone_on_with(bench: Path, tmp_path: Path) -> None:
    write(tmp_path, FULL | {"checkpoint-2/trainer_state.json"}, "old")
    results.check_place(recipes.parse(runs.flags(bench, output_dir=tmp_path)))


@pytest.mark.long
@pytest.mark.parametrize("kinds", [("lora", "full"), ("full", "lora")], ids=" then ".join)
def test_the_model_of_another_kind_of_run_is_gone_once_it_is_replaced(
    kinds: tuple[str, str], bench: Path, tmp_path: Path
) -> None:
    replaced, alone = tmp_path / "replaced", tmp_path / "alone"
    more = {"max_steps": 1, "lora_r": 2}
    train(recipes.parse(runs.flags(bench, output_dir=replaced, tune=kinds[0], **more)))
    again = {"overwrite_output_dir": True, "tune": kinds[1], **more}
    train(recipes.parse(runs.flags(bench, output_dir=replaced, **again)))
    train(recipes.parse(runs.flags(bench, output_dir=alone, **again)))
    assert {path.name for path in replaced.iterdir()} == {path.name for path in alone.iterdir()}
    assert lora.is_run(replaced) == (kinds[1] == "lora")
    name = "model.safetensors" if kinds[1] == "full" else "adapter_model.safetensors"
    assert (replaced / name).read_bytes() == (alone / name).read_bytes()


def test_how_samples_are_found_stays_in_the_folder_of_a_run_that_goes_on(tmp_path: Path) -> None:
    write(tmp_path, {*FULL, "retrieval.json", "checkpoint-2/trainer_state.json"}, "old")
    write(tmp_path / "model.bin", {"of-mine"}, "other")  # a folder
    write(tmp_path / ".unfinished/final", LORA, "new")
    results.publish(tmp_path / ".unfinished/final", tmp_path)
    assert model_in(tmp_path).pop("retrieval.json") == "old"
    assert model_in(tmp_path).keys() == {*LORA, "retrieval.json"}
    assert (tmp_path / "model.bin/of-mine").is_file()


def test_a_file_of_a_model_is_not_replaced_unasked(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"out holds a file of a model \(pytorch_model.bin\) and no checkpoint"):
        results.check_free("out", ["pytorch_model.bin"], tmp_path, replace=False)
    results.check_free("out", ["pytorch_model.bin"], tmp_path, replace=True)
    results.check_free("out", [], tmp_path, replace=False)
