"""The code that decides answers: a change of it makes new answers, and runs that mix them say so."""

import json
from pathlib import Path

import pytest

from camml.evaluation import code
from camml.evaluation.code import code_hash, mixture
from camml.evaluation.contexts import Variant
from camml.evaluation.files import read_lines
from camml.evaluation.run import run
from tests.evaluation.test_run import ONE_SHOT, asked, contents  # noqa: F401

DECIDE = ["answering/perceiver.py", "model/modeling.py", "retriever.py", "stores/faiss.py", "encoders/mini.py",
          "prompts.py", "evaluation/predict.py", "evaluation/contexts.py"]  # fmt: skip
DO_NOT = ["cli/eval.py", "serving/app.py", "evaluation/metrics/pope.py", "evaluation/report/page.py", "README.md",
          "answering/._perceiver.py"]  # fmt: skip


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder like that of the package."""
    for name in (*DECIDE, *DO_NOT):
        file = tmp_path / "package" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"# {name}")
    return tmp_path / "package"


def test_code_that_decides_answers_changes_the_hash_and_other_code_does_not(package) -> None:
    before = code_hash(package)
    for name in DO_NOT:
        (package / name).write_text("another")
        assert code_hash(package) == before, name
    for name in DECIDE:
        (package / name).write_text("another")
        assert code_hash(package) != before, name
        before = code_hash(package)


def test_the_fingerprint_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = code.fingerprint()
    monkeypatch.setattr(code, "code_hash", lambda root: pytest.fail("read again"))
    assert code.fingerprint() == first
    assert len(first) == 64


def another_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on it is as if the code had been edited."""
    monkeypatch.setattr(code, "fingerprint", lambda: "e" * 64)
    monkeypatch.setattr("camml.evaluation.identity.fingerprint", lambda: "e" * 64)


@pytest.mark.long
def test_answers_and_searches_of_other_code_are_not_taken(options, asked, tmp_path, monkeypatch) -> None:  # noqa: F811
    from camml.retriever import Retriever

    searched, retrieve = [], Retriever.retrieve
    monkeypatch.setattr(Retriever, "retrieve", lambda *args, **more: searched.append(1) or retrieve(*args, **more))
    cache = {"cache": tmp_path / "cache"}
    run(["gqa"], ONE_SHOT, options(**cache))
    run(["gqa"], ONE_SHOT, options(**cache, out=tmp_path / "same"))
    assert (sum(asked), len(searched)) == (3, 1)
    another_code(monkeypatch)
    run(["gqa"], ONE_SHOT, options(**cache, out=tmp_path / "other"))
    assert (sum(asked), len(searched)) == (6, 2)


@pytest.mark.long
def test_a_run_that_was_begun_by_other_code_says_so(options, monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    run(["mme"], ONE_SHOT, options(batch_size=1))  # the second of three portions
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.delenv("RANK")
    old = code.short()
    another_code(monkeypatch)
    [outcome] = run(["mme"], ONE_SHOT, options(batch_size=1))
    told = json.loads((outcome.folder / "score.json").read_text())["notes"]
    wanted = sorted([f"4 by code {old}", f"8 by code {'e' * 12}"], key=lambda text: text.split()[-1])
    assert list(outcome.notes) == told
    assert told[-1].startswith(f"mixed: the answers were given by different code ({', '.join(wanted)})")
    assert {record["code"] for _, record in read_lines(outcome.folder / "log.jsonl")} == {old, "e" * 12}


def test_a_complete_run_of_other_code_says_so_when_it_is_scored_again(options, monkeypatch) -> None:
    [first] = run(["gqa"], ONE_SHOT, options())
    assert first.notes == ()
    [same] = run(["gqa"], ONE_SHOT, options())
    assert contents(same.folder) == contents(first.folder)
    old = code.short()
    another_code(monkeypatch)
    [again] = run(["gqa"], ONE_SHOT, options())
    assert again.notes == (f"all answers were kept from code {old}; the code now is {'e' * 12}",)


@pytest.mark.long
def test_a_run_that_took_some_answers_from_the_cache_says_so(options, tmp_path) -> None:
    cache = {"cache": tmp_path / "cache", "batch_size": 1}
    run(["gqa"], ONE_SHOT, options(**cache, limit=1))
    [outcome] = run(["gqa"], ONE_SHOT, options(**cache, out=tmp_path / "more"))
    assert list(outcome.notes) == ["mixed: 1 of 3 answers were kept from before, 2 are new"]


def test_answers_that_do_not_say_their_code_are_told_apart() -> None:
    [note] = mixture([{}, {"code": code.short()}], None)
    assert "1 by code unknown" in note
    assert mixture([], 0) == []


def test_nothing_is_mixed_where_no_model_answers(options) -> None:
    [outcome] = run(["gqa"], [Variant("copy", 1)], options())
    assert outcome.notes == ()
