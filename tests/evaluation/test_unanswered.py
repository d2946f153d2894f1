"""Questions to which an endpoint gave no usable answer: never an answer, never remembered, counted by reason."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from camml.cli import main
from camml.errors import FetchError
from camml.evaluation import task as tasks
from camml.evaluation.contexts import Variant
from camml.evaluation.files import read_lines
from camml.evaluation.run import run
from camml.evaluation.score import measured_score, score
from camml.evaluation.task import Settings
from tests.chat_server import chat_server
from tests.layouts import answer, lines

NONE = [Variant("none", 0)]
SILENT = {"message": {"content": "", "reasoning_content": "No, wait"}, "finish_reason": "length"}
UNUSABLE = [
    SILENT,
    {"message": {"content": None}, "finish_reason": "content_filter"},
    {"message": {"content": "<think>Is there one? Yes, it"}, "finish_reason": "length"},
    {"message": {"content": "The picture shows a"}, "finish_reason": "length"},
]
HIDDEN = ("vqav2", "vizwiz", "coco_caption", "flickr30k_caption")


def asked_text(request: dict[str, Any]) -> str:
    """The question in a request."""
    return str(request["messages"][0]["content"][-1]["text"])


@pytest.fixture
def api_options(options):
    """`Options` of a run of a model behind an endpoint."""
    return lambda url, **changes: options(
        **{"model": "thinker", "use": "api", "base_url": url, "store": None, "device": None} | changes
    )


@pytest.mark.parametrize("reply", UNUSABLE, ids=["silent", "withheld", "thought", "cut off"])
def test_no_answer_is_neither_yes_nor_no_in_pope(api_options, reply) -> None:
    with chat_server(lambda *_: reply) as (url, _):
        [outcome] = run(["pope"], NONE, api_options(url))
    reason = reply["finish_reason"]
    for name in ("f1", "accuracy", "yes_ratio"):
        assert outcome.score.values[f"{name}/mean"] == 0
    [(told, number)] = outcome.score.unanswered.items()
    assert (reason in told, number) == (True, 12)
    [note] = outcome.score.notes
    assert note.startswith("no answer to 12 of 12 questions (1, 2, 3, 4, 5 and 7 more), which count as wrong")
    for _, record in read_lines(outcome.folder / "log.jsonl"):
        assert (record["answer"], record["score"]) == ("", 0)
        assert reason in record["notes"][0]


@pytest.mark.parametrize("name", [name for name in tasks.names() if name not in HIDDEN])
def test_no_answer_is_wrong_in_every_task(benchmarks, name) -> None:
    """Even where an empty text would count: as "yes", as a guess, or as an annotator's "a", an article."""
    task = tasks.find(name)
    items = task.read(task.place(benchmarks[0]))
    settings: dict[str, Any] = {"unanswered": {item.id: "empty reply, finish_reason length" for item in items}}
    if "random_guess" in task.uses:
        settings["random_guess"] = 1
    if name == "mmvet":
        settings["grades"] = benchmarks[0] / "mm-vet" / "grades.json"
    for item in items:
        if isinstance(item.truth, dict) and "answers" in item.truth:
            item.truth["answers"][:] = ["a"] * len(item.truth["answers"])
    result = measured_score(name, task, items, {item.id: "" for item in items}, Settings(**settings), len(items), 0)
    assert result.values[task.headline] == 0
    assert not any(result.per_item.values())
    assert sum(result.unanswered.values()) == len(items)


def test_half_the_answers_score_as_half(api_options) -> None:
    """Right where it answers: recall and accuracy fall, precision does not."""

    def reply(request: dict[str, Any], _: int) -> Any:
        number = int(asked_text(request).split("thing ")[1][0])
        return SILENT if number < 2 else ("yes", "no")[number % 2]

    with chat_server(reply) as (url, _):
        [outcome] = run(["pope"], NONE, api_options(url))
    values = outcome.score.values
    assert [values[f"{name}/mean"] for name in ("accuracy", "precision", "recall")] == [0.5, 1, 0.5]


def test_what_was_not_answered_is_not_remembered_and_asked_again(api_options, tmp_path) -> None:
    silent = True

    def reply(request: dict[str, Any], _: int) -> Any:
        return SILENT if silent and "thing 0" in asked_text(request) else "Yes"

    cache = {"cache": tmp_path / "cache"}
    with chat_server(reply) as (url, requests):
        [first] = run(["pope"], NONE, api_options(url, **cache))
        assert (len(requests), sum(first.score.unanswered.values())) == (6, 3)  # the splits share their questions
        [again] = run(["pope"], NONE, api_options(url, **cache))
        assert (len(requests), sum(again.score.unanswered.values())) == (9, 3)  # the same folder: only those
        silent = False
        [mended] = run(["pope"], NONE, api_options(url, **cache))
        assert (len(requests), mended.score.unanswered) == (11, {})  # two of them in one batch
        assert mended.notes == ("mixed: 9 of 12 answers were kept from before, 3 are new",)
        [elsewhere] = run(["pope"], NONE, api_options(url, out=tmp_path / "other", **cache))
        assert len(requests) == 11
    assert (elsewhere.folder / "log.jsonl").read_bytes() == (mended.folder / "log.jsonl").read_bytes()
    assert not (mended.folder / "parts").exists()


def test_an_answer_file_keeps_that_there_was_none(api_options, benchmarks) -> None:
    with chat_server(lambda _, number: SILENT if number % 2 else "yes") as (url, _):
        outcomes = run(["pope", "okvqa"], NONE, api_options(url, batch_size=1))
    for outcome in outcomes:
        again = score(outcome.task, benchmarks[0], outcome.folder / "answers.jsonl", resamples=20)
        written = json.loads((outcome.folder / "score.json").read_text())
        assert json.loads(json.dumps(again.document())) == written
        assert again.unanswered
        skipped = score(outcome.task, benchmarks[0], outcome.folder / "answers.jsonl", missing="skip", resamples=0)
        assert skipped.answered == again.questions - sum(again.unanswered.values())
        assert skipped.unanswered == {}


def test_a_missing_answer_that_counts_as_wrong_is_no_yes(benchmarks, tmp_path) -> None:
    answers = lines(tmp_path / "a.jsonl", [answer(2, "No")])
    result = score("pope", benchmarks[0], answers, missing="wrong", resamples=0)
    assert result.values["yes_ratio/mean"] == 0
    assert result.unanswered == {"not in the answer file": 11}


@pytest.mark.long
def test_the_command_says_how_many_have_none(benchmarks, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    data = ["--data", str(benchmarks[0])]
    usual = ["--use", "api", "--model", "m/n", "--no-cache", "--context", "none", "--resamples", "0", *data]
    with chat_server(lambda _, number: SILENT if number == 1 else "Yes") as (url, _):
        assert main(["eval", "run", "pope", *usual, "--base-url", url]) == 0
    said = capsys.readouterr().out
    assert "11 of 12" in said
    # requests are sent side by side, so the first to arrive may be about any question
    lacking = r"no answer to 1 of 12 questions \(\d+\), which count as wrong \(empty reply, finish_reason length: 1\)"
    assert re.search(lacking, said)
    with chat_server(lambda *_: SILENT) as (url, _):
        assert main(["eval", "run", "vqav2", *usual, "--base-url", url]) == 0
    assert "no answer to 3 of 3 questions" in capsys.readouterr().out
    assert main(["eval", "report", "runs/eval/n", "--out", "pages", *data]) == 0
    pages = [Path("pages/index.html"), Path("pages/leaderboard.md"), *Path("pages/runs").glob("pope*/index.html")]
    assert len(pages) == 3
    for page in pages:
        assert "no answer to 1 of 12 questions" in page.read_text()


def test_a_setting_that_is_refused_is_said_with_each_answer(api_options) -> None:
    def reply(request: dict[str, Any], _: int) -> Any:
        wrong = next((name for name in ("max_tokens", "temperature") if name in request), None)
        return (400, {"error": {"message": f"{wrong} is not supported here"}}) if wrong else "Yes"

    with chat_server(reply) as (url, requests):
        [outcome] = run(["pope"], NONE, api_options(url))
    assert len(requests) == 2 + 12
    for _, record in read_lines(outcome.folder / "log.jsonl"):
        assert record["notes"] == ["the endpoint rejected temperature; its own defaults apply"]


def test_questions_that_are_asked_twice_are_not_from_before(api_options, tmp_path) -> None:
    cache = {"cache": tmp_path / "cache"}
    with chat_server(lambda *_: "Yes") as (url, requests):
        [first] = run(["pope"], NONE, api_options(url, **cache, batch_size=1))
        assert (len(requests), first.notes) == (4, ())  # the splits share their questions
        [again] = run(["pope"], NONE, api_options(url, **cache, batch_size=1))
        assert again.notes == ()
        [kept] = run(["pope"], NONE, api_options(url, **cache, batch_size=1, out=tmp_path / "other"))
        assert len(requests) == 4
    assert kept.notes == ()


TOO_LONG = 400, {"error": {"message": "too long", "code": "context_length_exceeded"}}


def test_a_question_that_is_too_long_is_no_answer(api_options) -> None:
    with chat_server(lambda request, _: TOO_LONG if "thing 2" in asked_text(request) else "Yes") as (url, _):
        [outcome] = run(["pope"], NONE, api_options(url))
    assert outcome.score.unanswered == {"withheld reply, finish_reason context_length_exceeded": 3}
    assert outcome.notes[0].startswith("no answer to 3 of 12 questions (3, 7, 11), which count as wrong")


@pytest.mark.parametrize("batch_size", [1, 8])
def test_an_endpoint_for_which_all_is_too_long_ends_the_run(api_options, batch_size) -> None:
    with chat_server(lambda *_: TOO_LONG) as (url, requests):
        with pytest.raises(
            FetchError, match=r"POPE: all of the first 1[02] questions, from 1 on, are too long for thinker"
        ):
            run(["pope"], NONE, api_options(url, batch_size=batch_size))
        assert len(requests) == 12
        [outcome] = run(["mmvet"], NONE, api_options(url))  # of so few nobody can tell
    assert outcome.answers == 3
