"""Evaluation while a run goes on: what is measured, which checkpoint is kept, when it stops, and that it resumes."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from camml.cli import main
from camml.data import llava_json
from camml.data.examples import TrainingRows
from camml.errors import OptionError, SampleError
from camml.model import CamMLProcessor
from camml.training import building, evaluating, recipes, rows
from camml.training.arguments import DataArguments
from camml.training.checkpoints import finished, rotate
from camml.training.train import train
from tests.training import runs

ON = {"eval_steps": 2, "max_steps": 6, "eval_rows": 5}


@pytest.fixture
def held_out(bench: Path, tmp_path: Path) -> dict[str, object]:
    """Flags of an evaluation: conversations of one turn as those of the training data, in another place."""
    data = runs.dataset(tmp_path)
    rows = [row for row in json.loads(data.read_text()) if len(row["conversations"]) == 2]
    data.write_text(json.dumps(rows))
    runs.table(tmp_path, data)
    return {"eval_data": data, "eval_neighbors": tmp_path / "neighbors"} | ON


def settings(bench: Path, out: Path, **more: object) -> list[str]:
    return runs.flags(bench, output_dir=out, **more)


def evaluations(out: Path) -> list[dict[str, float]]:
    state = json.loads((finished(out)[-1] / "trainer_state.json").read_text())
    return [entry for entry in state["log_history"] if "eval_exact_match" in entry]


def training_rows(data: DataArguments, processor: CamMLProcessor) -> TrainingRows:
    return rows.read(data, processor, max_length=2048, seed=0, report=print)


def test_an_answer_counts_where_all_of_its_tokens_are_the_likeliest() -> None:
    labels = np.array([[-100, -100, 5, 6, -100, 7, 8], [-100, 3, -100, -100, -100, -100, -100]])
    predictions = np.array([[9, 5, 6, 9, 7, 1, 9], [3, 9, 9, 9, 9, 9, 9]])
    results = SimpleNamespace(predictions=predictions, label_ids=labels)
    assert evaluating.exact_match(results) == {"exact_match": pytest.approx(2 / 3)}


def test_of_the_logits_the_likeliest_tokens_are_kept() -> None:
    logits = torch.tensor([[[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]]])
    assert evaluating.likeliest(logits, torch.zeros(1, 2)).tolist() == [[1, 0]]
    assert evaluating.likeliest((logits, "cache"), torch.zeros(1, 2)).tolist() == [[1, 0]]


@pytest.mark.long
def test_the_exact_match_is_that_of_greedy_answers(bench: Path, tmp_path: Path, held_out: dict[str, object]) -> None:
    from camml.answering import Decoding
    from camml.answering.perceiver import load
    from camml.neighbors import NeighborTable
    from camml.types import Query

    data = tmp_path / "train.json"
    rows = json.loads(data.read_text())
    for number, row in enumerate(rows):  # most have the answer that is easiest to learn, the others another one
        row["conversations"][1]["value"] = "white" if number % 3 else f"colour {number}"
    data.write_text(json.dumps(rows))
    runs.table(tmp_path / "again", data)
    known = {"data_path": data, "neighbors": tmp_path / "again" / "neighbors"}
    known |= {"eval_data": data, "eval_neighbors": known["neighbors"]}
    more = held_out | known | {"max_steps": 40, "eval_steps": 40, "learning_rate": 1e-2, "eval_rows": 12}
    train(recipes.parse(settings(bench, tmp_path / "out", **more)))
    [said] = evaluations(tmp_path / "out")
    answerer = load(tmp_path / "out", device="cpu", dtype="float32")
    ends = answerer.processor.tokenizer.convert_tokens_to_ids("<|end|>")  # what ends an answer in this template
    answerer.model.generation_config.eos_token_id = ends
    table = NeighborTable.open(known["neighbors"])
    right = 0
    for row in llava_json.read(data):
        query = Query(row.turns[0].question, row.image)
        [prediction] = answerer.answer([query], [table.context(row.id, 2)], Decoding(max_new_tokens=8))
        right += prediction.text == row.turns[0].answer
    assert len(rows) == 9
    assert 0 < right < len(rows)
    assert said["eval_exact_match"] == pytest.approx(right / len(rows))


@pytest.mark.long
def test_the_best_checkpoint_becomes_the_model(
    bench: Path, tmp_path: Path, held_out: dict[str, object], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    scores = iter([0.2, 0.9, 0.5])
    monkeypatch.setattr(evaluating, "exact_match", lambda _: {"exact_match": next(scores)})
    out = tmp_path / "out"
    assert main(["train", *settings(bench, out, **held_out, save_total_limit=1)]) == 0
    assert [path.name for path in finished(out)] == ["checkpoint-4", "checkpoint-6"]
    final, best = load_file(out / "model.safetensors"), load_file(out / "checkpoint-4/model.safetensors")
    last = load_file(out / "checkpoint-6/model.safetensors")
    assert all(torch.equal(final[name], best[name]) for name in best)
    assert any(not torch.equal(final[name], last[name]) for name in last)
    assert "step 4 did best (90.0% exact)" in capsys.readouterr().err


@pytest.mark.long
def test_the_last_checkpoint_is_the_best_and_the_only_one(
    bench: Path, tmp_path: Path, held_out: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.2, 0.9, 0.1])
    monkeypatch.setattr(evaluating, "exact_match", lambda _: {"exact_match": next(scores)})
    out = tmp_path / "out"
    train(recipes.parse(settings(bench, out, **held_out | {"max_steps": 4}, save_total_limit=1)))
    assert [path.name for path in finished(out)] == ["checkpoint-4"]
    state = json.loads((out / "checkpoint-4/trainer_state.json").read_text())
    assert (state["best_global_step"], state["best_model_checkpoint"]) == (4, None)
    train(recipes.parse(settings(bench, out, **held_out, save_total_limit=1)))
    assert [path.name for path in finished(out)] == ["checkpoint-4", "checkpoint-6"]


@pytest.mark.long
@pytest.mark.parametrize("gone", ["removed", "of another branch"])
def test_a_best_checkpoint_that_is_gone_does_not_cost_the_run(
    gone: str, bench: Path, tmp_path: Path, held_out: dict[str, object], monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    scores = iter([0.9, 0.2, 0.1])
    monkeypatch.setattr(evaluating, "exact_match", lambda _: {"exact_match": next(scores)})
    out = tmp_path / "out"
    train(recipes.parse(settings(bench, out, **held_out | {"max_steps": 4})))
    if gone == "removed":
        shutil.rmtree(out / "checkpoint-2")
    else:
        file = out / "checkpoint-2" / "trainer_state.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"best_metric": 0.4}))
    train(recipes.parse(settings(bench, out, **held_out)))
    final, last = load_file(out / "model.safetensors"), load_file(out / "checkpoint-6/model.safetensors")
    assert all(torch.equal(final[name], last[name]) for name in last)
    assert f"{out / 'checkpoint-2'}, which did best (90.0% exact), is gone: the model has the weights of step 6" in (
        caplog.text
    )


@pytest.mark.long
def test_lora_goes_back_with_all_that_is_trained(
    bench: Path, tmp_path: Path, held_out: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.9, 0.2, 0.1])
    monkeypatch.setattr(evaluating, "exact_match", lambda _: {"exact_match": next(scores)})
    out = tmp_path / "out"
    train(recipes.parse(settings(bench, out, **held_out, tune="lora", lora_r=2)))
    for name in ("adapter_model.safetensors", "between.safetensors"):
        final, best = load_file(out / name), load_file(out / "checkpoint-2" / name)
        assert final.keys() == best.keys()
        assert all(torch.equal(final[key], best[key]) for key in best)


@pytest.mark.long
def test_it_stops_where_nothing_gets_better(
    bench: Path, tmp_path: Path, held_out: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluating, "exact_match", lambda _: {"exact_match": 0.5})
    out = tmp_path / "out"
    train(recipes.parse(settings(bench, out, **held_out | {"max_steps": 20}, early_stop=2)))
    assert [entry["step"] for entry in evaluations(out)] == [2, 4, 6]


@pytest.mark.long
def test_a_run_that_stopped_early_has_nothing_left_to_train(
    bench: Path, tmp_path: Path, held_out: dict[str, object], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(evaluating, "exact_match", lambda _: {"exact_match": 0.5})
    out = tmp_path / "out"
    flags = held_out | {"max_steps": 12}
    train(recipes.parse(settings(bench, out, **flags, early_stop=2)))
    record = (out / "run.json").read_bytes()
    train(recipes.parse(settings(bench, out, **flags, early_stop=2)))
    assert "the run was stopped early at step 6, after 2 evaluations without a better one" in capsys.readouterr().err
    assert (out / "run.json").read_bytes() == record
    train(recipes.parse(settings(bench, out, **flags, early_stop=3)))
    assert [entry["step"] for entry in evaluations(out)] == [2, 4, 6, 8], "evaluations before the interruption count"


@pytest.mark.parametrize(
    ("scores", "waited"), [([], 0), ([0.5], 0), ([0.5, 0.5], 1), ([0.1, 0.7, 0.3, 0.2], 2), ([0.3, 0.2, 0.4], 0)]
)
def test_evaluations_since_the_best_are_counted(scores: list[float], waited: int) -> None:
    history: list[dict[str, float]] = [{"loss": 1.0}, *({"eval_exact_match": score} for score in scores), {"loss": 0.9}]
    assert evaluating.without_better(history) == waited


@pytest.mark.parametrize(
    ("given", "wanted"),
    [({}, ("steps", 500)), ({"eval_steps": 7}, ("steps", 7)), ({"save_steps": 9}, ("steps", 9)),
     ({"eval_strategy": "epoch"}, ("epoch", None)), ({"evaluation_strategy": "epoch"}, ("epoch", None)),
     ({"evaluation_strategy": "no", "eval_strategy": "epoch"}, ("epoch", None)),
     ({"save_strategy": "epoch"}, ("epoch", None)), ({"save_strategy": "epoch", "eval_steps": 7}, ("steps", 7)),
     ({"load_best_model_at_end": True}, ("steps", 500))],
    ids=str,
)  # fmt: skip
def test_when_it_is_evaluated(bench: Path, given: dict[str, object], wanted: tuple[str, object]) -> None:
    held_out = {"eval_data": "x.json", "eval_neighbors": "n"}
    run = recipes.parse(settings(bench, Path("out"), **held_out, **given)).run
    assert (run.eval_strategy, run.save_strategy, run.eval_steps) == (wanted[0], *wanted)
    assert not run.load_best_model_at_end, "the Trainer would look for it under a name that it does not have"


@pytest.mark.long
def test_it_stops_after_epochs_too(
    bench: Path, tmp_path: Path, held_out: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluating, "exact_match", lambda _: {"exact_match": 0.5})
    more = held_out | {"eval_steps": None, "max_steps": None, "eval_strategy": "epoch", "num_train_epochs": 9}
    train(recipes.parse(settings(bench, tmp_path, **more, early_stop=1)))
    assert [entry["step"] for entry in evaluations(tmp_path)] == [6, 12]
    assert [path.name for path in finished(tmp_path)] == ["checkpoint-6", "checkpoint-12"]


@pytest.mark.long
def test_a_resumed_run_evaluates_alike_and_knows_its_best(
    bench: Path, tmp_path: Path, held_out: dict[str, object]
) -> None:
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    train(recipes.parse(settings(bench, whole, **held_out)))
    flags = settings(bench, parted, **held_out)
    train(recipes.parse(flags))
    for path in finished(parted)[1:]:
        shutil.rmtree(path)
    for file in parted.glob("model*"):
        file.unlink()
    train(recipes.parse(flags))
    measured = [(entry["step"], entry["eval_loss"], entry["eval_exact_match"]) for entry in evaluations(whole)]
    assert [(entry["step"], entry["eval_loss"], entry["eval_exact_match"]) for entry in evaluations(parted)] == measured
    first, second = load_file(whole / "model.safetensors"), load_file(parted / "model.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_draws_of_training_are_not_made(bench: Path, held_out: dict[str, object]) -> None:
    told = recipes.parse(settings(bench, Path("out"), **held_out, sample_image_dropout=1.0))
    from camml.training.train import prepare

    trainer = prepare(told)
    rows = trainer.eval_dataset
    assert len(rows) == 5
    assert all(len(rows[place].samples) == 2 for place in range(5))
    assert any(sample.image for place in range(5) for sample in rows[place].samples)


@pytest.mark.parametrize(("wanted", "places"), [(1, [0]), (5, [0, 2, 4, 6, 8]), (8, [0, 1, 2, 3, 4, 5, 6, 8])])
def test_held_out_rows_are_spread_over_the_file(
    wanted: int, places: list[int], bench: Path, held_out: dict[str, object]
) -> None:
    told = recipes.parse(settings(bench, Path("out"), **held_out | {"eval_rows": wanted}))
    _, processor = building.sketch(told.model)
    chosen = evaluating.read(told.data, training_rows(told.data, processor), print)
    assert chosen is not None
    every = [row["id"] for row in json.loads(Path(str(held_out["eval_data"])).read_text())]
    assert len(every) == 9
    assert [every.index(row.id) for row in chosen.conversations] == places


@pytest.mark.parametrize(
    ("given", "message"),
    [({"early_stop": 1}, "--early_stop needs --eval_data"), ({"eval_neighbors": "x"}, "--eval_neighbors needs"),
     ({"eval_steps": 5}, "--eval_steps needs --eval_data"), ({"do_eval": True}, "--do_eval needs --eval_data"),
     ({"eval_on_start": True}, "--eval_on_start needs"), ({"eval_image_folder": "x"}, "--eval_image_folder needs"),
     ({"load_best_model_at_end": True}, "--load_best_model_at_end needs --eval_data"),
     ({"eval_data": "x.json", "eval_neighbors": "n", "eval_strategy": "epoch", "eval_steps": 2}, "give one"),
     ({"eval_data": "x.json", "eval_neighbors": "n", "eval_strategy": "epoch", "save_strategy": "steps",
       "save_steps": 2}, "and not each 2 steps"),
     ({"eval_strategy": "epoch", "evaluation_strategy": "steps"}, "its older name, 'steps'; leave one out"),
     ({"evaluation_strategy": "often"}, "--evaluation_strategy is 'often'; it can be: no, steps, epoch"),
     ({"save_strategy": "best"}, "--save_strategy is 'best'; it can be: no, steps, epoch"),
     ({"eval_data": "x.json"}, "--eval_neighbors is missing"),
     ({"eval_data": "x.json", "eval_neighbors": "n", "eval_rows": 0}, "--eval_rows is 0; give 1 or more"),
     ({"eval_data": "x.json", "eval_neighbors": "n", "deepspeed": "zero2.json"}, "a whole model in every process")],
)  # fmt: skip
def test_wrong_settings(bench: Path, given: dict[str, object], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match=message):
        recipes.parse(settings(bench, Path("out"), **given, dry_run=True))


def test_held_out_data_that_is_wrong_is_found_before_training(bench: Path, tmp_path: Path, held_out) -> None:
    Path(str(held_out["eval_data"])).write_text("[]")
    with pytest.raises(SampleError):
        train(recipes.parse(settings(bench, tmp_path / "out", **held_out)))
    assert not (tmp_path / "out" / "checkpoint-2").exists()


def test_the_best_is_never_rotated_away(tmp_path: Path) -> None:
    for step in (2, 4, 6):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}/trainer_state.json").touch()
    rotate(tmp_path, 1, best=2)
    assert [path.name for path in finished(tmp_path)] == ["checkpoint-2", "checkpoint-6"]
