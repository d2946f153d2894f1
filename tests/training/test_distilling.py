"""Learning from a teacher: what it says is its own, computed once, and pulls the student towards it."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from camml import prompts
from camml.cli import main
from camml.errors import OptionError, StoreCorruptedError
from camml.model.modeling import IGNORED
from camml.training import distilling, recipes
from camml.training.train import prepare, train
from tests import tiny
from tests.fork_server import ForkServer
from tests.training import runs

SHORT = {"max_steps": 2, "icl_num": 2, "random_shots_training": False}


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    """A language model with the tokenizer of the runs and weights of its own."""
    torch.manual_seed(5)
    folder = tmp_path / "teacher_model"
    AutoModelForCausalLM.from_config(tiny.text_config()).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


def settings(bench: Path, out: Path, teacher: Path, **more: object) -> list[str]:
    return runs.flags(bench, output_dir=out, distill=teacher, **SHORT | more)


def test_a_lesson_is_what_the_teacher_says_of_the_whole_texts(bench: Path, tmp_path: Path, teacher: Path) -> None:
    trainer = prepare(recipes.parse(settings(bench, tmp_path / "out", teacher)))
    rows = trainer.train_dataset
    conversation = rows.conversations[1]
    texts = [neighbor.sample.text for neighbor in rows.context_of(conversation.id)[:2]]
    first, *others = conversation.turns
    told = [prompts.paste(first.question, texts, "brief"), *(turn.question for turn in others)]
    turns = tuple(type(first)(question, turn.answer) for question, turn in zip(told, conversation.turns, strict=True))
    text, spans = rows.processor.render_answers(turns, False, 0)
    assert all(item in text for item in texts)
    model = AutoModelForCausalLM.from_pretrained(teacher).eval()
    ids = rows.processor.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    with torch.no_grad():
        said = model(torch.tensor([ids["input_ids"]])).logits[0].log_softmax(-1)
    places = [n for n, (start, _) in enumerate(ids["offset_mapping"]) if any(a <= start < b for a, b in spans)]
    tokens, scores = trainer.data_collator.lessons([rows[1]])
    wanted = said[[place - 1 for place in places]].topk(tokens.shape[1])
    assert torch.equal(tokens[0], wanted.indices[0])
    assert torch.allclose(scores[0], wanted.values[0], atol=2e-3)  # kept in 16 bits
    assert len(tokens) == sum(label != IGNORED for label in rows[1].labels) > len(conversation.turns)


def test_a_student_that_says_the_same_is_no_distance_away() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 5, 11, dtype=torch.float64)
    labels = torch.tensor([[IGNORED, IGNORED, 3, 4, 5], [IGNORED, 7, IGNORED, IGNORED, IGNORED]])
    said = logits[:, :-1][labels[:, 1:] != IGNORED].log_softmax(-1).topk(11)
    assert distilling.divergence(logits, labels, said.indices, said.values).item() == pytest.approx(0, abs=1e-5)
    other = torch.randn(2, 5, 11, dtype=torch.float64)
    learned = logits[:, (labels[:, 1:] != IGNORED).any(0).nonzero()[:, 0]]  # all that a model in training gives
    assert distilling.divergence(learned, labels, said.indices, said.values).item() == pytest.approx(0, abs=1e-5)
    by_hand = 0.0
    theirs = other[:, :-1][labels[:, 1:] != IGNORED].log_softmax(-1)
    for place in range(4):
        p = said.values[place].exp()
        by_hand += float((p * (said.values[place] - theirs[place][said.indices[place]])).sum())
    assert distilling.divergence(other, labels, said.indices, said.values).item() == pytest.approx(by_hand, rel=1e-5)


def test_a_token_without_a_lesson_counts_nothing() -> None:
    logits = torch.randn(1, 3, 7)
    labels = torch.tensor([[IGNORED, 2, 3]])
    tokens, scores = torch.tensor([[1, 2], [-1, -1]]), torch.log(torch.tensor([[0.6, 0.4], [0.5, 0.5]]))
    single = distilling.divergence(logits[:, :2], labels[:, :2], tokens[:1], scores[:1])
    assert torch.allclose(distilling.divergence(logits, labels, tokens, scores), single)


@pytest.mark.long
def test_a_student_comes_nearer_to_its_teacher(bench: Path, tmp_path: Path, teacher: Path) -> None:
    def distance(steps: int) -> float:
        more = {"max_steps": steps, "distill_weight": 1.0, "learning_rate": 5e-3, "seed": 1}
        flags = settings(bench, tmp_path / f"out{steps}", teacher, **more, distill_cache=tmp_path / "said")
        trainer = prepare(recipes.parse(flags))
        trainer.train()
        batch = trainer.data_collator([trainer.train_dataset[n] for n in range(4)])
        with torch.no_grad():
            return float(trainer.compute_loss(trainer.model.eval(), batch))

    near, far = distance(40), distance(1)
    assert near < 0.8 * far


@pytest.mark.long
def test_the_teacher_is_asked_once_and_goes_on_where_it_stopped(
    bench: Path, tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distilling, "ROWS", 5)
    asked: list[str] = []
    lesson = distilling._lesson
    monkeypatch.setattr(
        distilling,
        "_lesson",
        lambda model, rows, told, limit: asked.append(told.id) or lesson(model, rows, told, limit),
    )
    cache = tmp_path / "said"
    train(recipes.parse(settings(bench, tmp_path / "one", teacher, distill_cache=cache)))
    assert len(asked) == 12
    parts = sorted(cache.glob("part-*"))
    before = [part.read_bytes() for part in parts]
    assert len(parts) == 3
    train(recipes.parse(settings(bench, tmp_path / "two", teacher, distill_cache=cache)))
    assert len(asked) == 12
    parts[1].unlink()
    manifest = json.loads((cache / "manifest.json").read_text())
    (cache / "manifest.json").write_text(json.dumps(manifest | {"whole": False}))
    train(recipes.parse(settings(bench, tmp_path / "three", teacher, distill_cache=cache)))
    assert len(asked) == 17
    assert [part.read_bytes() for part in parts] == before


@pytest.mark.long
def test_without_weight_it_is_the_run_without_a_teacher(bench: Path, tmp_path: Path, teacher: Path) -> None:
    from safetensors.torch import load_file

    train(recipes.parse(settings(bench, tmp_path / "with", teacher, distill_weight=0.0)))
    train(recipes.parse(runs.flags(bench, output_dir=tmp_path / "without", **SHORT)))
    with_it, without = (load_file(tmp_path / name / "model.safetensors") for name in ("with", "without"))
    assert all(torch.equal(with_it[name], without[name]) for name in without)
    assert (tmp_path / "with" / "teacher" / "manifest.json").is_file()


@pytest.mark.long
def test_a_teacher_that_cannot_teach_is_refused(
    bench: Path, tmp_path: Path, teacher: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *settings(bench, tmp_path / "a", bench / "tower")]) == 2
    assert "language model" in capsys.readouterr().err
    other = tiny.tokenizer()
    other.add_tokens(["otherwise"])
    other.save_pretrained(teacher)
    assert main(["train", *settings(bench, tmp_path / "b", teacher)]) == 2
    assert "tokenizer" in capsys.readouterr().err
    assert main(["train", *settings(bench, tmp_path / "c", teacher, distill_weight=2)]) == 2
    assert "--distill_weight" in capsys.readouterr().err


@pytest.mark.long
def test_lessons_of_something_else_or_damaged_ones_are_refused(bench: Path, tmp_path: Path, teacher: Path) -> None:
    cache = tmp_path / "said"
    train(recipes.parse(settings(bench, tmp_path / "one", teacher, distill_cache=cache)))
    with pytest.raises(OptionError, match="another teacher"):
        prepare(recipes.parse(settings(bench, tmp_path / "two", teacher, distill_cache=cache, icl_num=1)))
    broken = tmp_path / "broken"
    shutil.copytree(cache, broken)
    next(broken.glob("part-*")).write_bytes(b"PK")
    with pytest.raises(StoreCorruptedError, match="delete it"):
        distilling.TeacherLogProbs(broken)


@pytest.mark.parametrize("damaged", [b"", b"PK\x03\x04", b"PK\x03\x04 and no more", b"no archive"])
def test_damaged_lessons_are_named(tmp_path: Path, damaged: bytes) -> None:
    (tmp_path / "part-00000.npz").write_bytes(damaged)
    with pytest.raises(StoreCorruptedError, match=r"part-00000\.npz cannot be read .*delete it"):
        distilling.TeacherLogProbs(tmp_path)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Any:
    """One row, about which a teacher is not asked in earnest."""

    def compute(source: Path, folder: Path, rows: Any, device: str) -> None:
        words = {"counts": [1], "tokens": np.zeros((1, 2), np.int32), "scores": np.zeros((1, 2), np.float16)}
        np.savez(folder / "part-00000.npz", ids=["a"], **words)

    monkeypatch.setattr(distilling, "_compute", compute)
    processor = SimpleNamespace(prompt_style="chat", thinking=False)
    return SimpleNamespace(shots=1, conversations=[SimpleNamespace(id="a")], processor=processor)


def test_a_teacher_that_was_trained_since_is_noticed(tmp_path: Path, teacher: Path, rows: Any) -> None:
    distilling.prepare(str(teacher), tmp_path / "said", rows, {}, "cpu")
    torch.manual_seed(6)
    AutoModelForCausalLM.from_config(tiny.text_config()).save_pretrained(teacher)
    with pytest.raises(OptionError, match="another teacher"):
        distilling.prepare(str(teacher), tmp_path / "said", rows, {}, "cpu")


@pytest.mark.parametrize("change", [{"prompt_style": "official"}, {"thinking": True}])
def test_lessons_made_with_other_words_are_not_used(
    tmp_path: Path, teacher: Path, rows: Any, change: dict[str, Any]
) -> None:
    distilling.prepare(str(teacher), tmp_path / "said", rows, {}, "cpu")
    rows.processor = SimpleNamespace(**vars(rows.processor) | change)
    with pytest.raises(OptionError, match="another teacher, data, number of samples or prompt style"):
        distilling.prepare(str(teacher), tmp_path / "said", rows, {}, "cpu")


def test_weights_of_a_teacher_are_hashed_once(
    tmp_path: Path, teacher: Path, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []
    tensors_hash = distilling.weights.tensors_hash
    monkeypatch.setattr(
        distilling.weights, "tensors_hash", lambda folder: (hashed.append(folder), tensors_hash(folder))[1]
    )
    for _ in range(3):
        distilling.prepare(str(teacher), tmp_path / "said", rows, {}, "cpu")
    assert len(hashed) == 1
    shutil.copytree(teacher, tmp_path / "copy", copy_function=shutil.copyfile)  # with times of its own
    for _ in range(2):
        distilling.prepare(str(tmp_path / "copy"), tmp_path / "said", rows, {}, "cpu")
    assert len(hashed) == 2


def test_lessons_of_an_earlier_version_are_used_and_what_they_do_not_tell_is_said(
    tmp_path: Path, teacher: Path, rows: Any, caplog: pytest.LogCaptureFixture
) -> None:
    said, manifest = tmp_path / "said", tmp_path / "said" / "manifest.json"
    distilling.prepare(str(teacher), said, rows, {"data": "a"}, "cpu")
    assert "by which weights" not in caplog.text
    about = json.loads(manifest.read_text())
    origin = {name: value for name, value in about["origin"].items() if name not in distilling.OPTIONAL_FIELDS}
    manifest.write_text(json.dumps({"origin": origin, "whole": True}))
    (teacher / ".tensors.json").write_text("{}")  # what a model that was made on this teacher leaves there
    distilling.prepare(str(teacher), said, rows, {"data": "a"}, "cpu")
    assert "by which weights" in caplog.text
    assert json.loads(manifest.read_text())["origin"] == origin
    with pytest.raises(OptionError, match="another teacher"):
        distilling.prepare(str(teacher), said, rows, {"data": "b"}, "cpu")
    (teacher / "config.json").write_text("{ }")
    with pytest.raises(OptionError):
        distilling.prepare(str(teacher), said, rows, {"data": "a"}, "cpu")


def test_rows_without_a_lesson_are_named_before_training(tmp_path: Path, teacher: Path, rows: Any) -> None:
    assert set(distilling.prepare(str(teacher), tmp_path / "said", rows, {}, "cpu").lessons) == {"a"}
    rows.conversations.append(SimpleNamespace(id="b"))
    with pytest.raises(OptionError, match=r"no lesson about 'b' .*--distill_cache"):
        distilling.prepare(str(teacher), tmp_path / "said", rows, {}, "cpu")


WAITING = """
import sys, time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from torch import distributed
from camml.training import distilling, train
from camml.training.arguments import RunArguments

def prepare(*_):
    if run.process_index == 0:
        time.sleep(3)
        done.touch()
    assert done.exists()

folder = Path(sys.argv[1])
done, data = folder / "done", folder / "data.json"
run = RunArguments(output_dir=str(folder / "out"), report_to="none", use_cpu=True)
run.device
distributed.distributed_c10d._set_pg_timeout(timedelta(seconds=1))
distilling.prepare = prepare
about = SimpleNamespace(distill="teacher", distill_cache=None, data_path=data, neighbors=None, icl_num=0)
train._lessons(SimpleNamespace(data=about, run=run, output=folder / "out"), None)
"""


@pytest.mark.long
def test_other_processes_wait_for_the_lessons_longer_than_in_training(tmp_path: Path, programs: ForkServer) -> None:
    (tmp_path / "data.json").write_text("[]")
    runs.together(programs, "-c", WAITING, tmp_path)
