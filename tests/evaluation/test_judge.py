"""MM-Vet graded by a judge on this machine."""

import hashlib
import json
from pathlib import Path

import pytest

from camml.chat_api import ChatApi
from camml.cli import main
from camml.errors import FetchError, OptionError, SampleError
from camml.evaluation.cache import Cache
from camml.evaluation.judge import grade
from camml.evaluation.score import score
from camml.evaluation.task import Settings
from tests.chat_server import chat_server
from tests.layouts import answer, lines


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    """Three answers, each of its own."""
    return lines(tmp_path / "answers.jsonl", [answer(number, f"answer {number}") for number in range(3)])


def graded(request: dict, _: int) -> str:
    """0.0, 0.5 or 1.0 by the number in the answer."""
    said = request["messages"][0]["content"].rstrip(" |")
    return ("0.0", "0.5 because", "1.0")[int(said[-1])]


def test_grades_are_official_and_score(benchmarks, answers, tmp_path) -> None:
    out = tmp_path / "grades.json"
    with chat_server(graded) as (url, requests):
        grade(benchmarks[0], answers, out, ChatApi("judge", url), Cache(None), runs=2)
    assert len(requests) == 6
    assert requests[0]["messages"][0]["content"].endswith("What is 0? | a <OR> b | answer 0 | ")
    document = json.loads(out.read_text())
    assert document["v1_1"] == {
        "model": ["judge"] * 2, "content": ["0.5 because"] * 2, "score": [0.5, 0.5],
        "answer_sha256": hashlib.sha256(b"answer 1").hexdigest(),
    }  # fmt: skip
    result = score("mmvet", benchmarks[0], answers, settings=Settings(grades=out))
    assert result.values["total"] == pytest.approx(50)
    assert result.per_item == {"0": 0.0, "1": 0.5, "2": 1.0}
    assert result.notes == ()
    changed = lines(tmp_path / "other.jsonl", [answer(number, f"answer {number % 2}") for number in range(3)])
    with pytest.raises(SampleError, match=r"grades other answers than these \(1 of 3 differ: v1_2\)"):
        score("mmvet", benchmarks[0], changed, settings=Settings(grades=out))


def test_what_was_graded_is_not_asked_again(benchmarks, answers, tmp_path) -> None:
    cache, out = Cache(tmp_path / "cache"), tmp_path / "grades.json"
    with chat_server(lambda request, number: 500 if number == 3 else graded(request, number)) as (url, requests):
        with pytest.raises(FetchError):
            grade(benchmarks[0], answers, out, ChatApi("judge", url, tries=1), cache)
        assert len(requests) == 3
        assert json.loads(out.read_text()).keys() == {"v1_0", "v1_1"}
        grade(benchmarks[0], answers, out, ChatApi("judge", url, tries=1), cache)
        assert len(requests) == 4
        before = out.read_bytes()
        grade(benchmarks[0], answers, out, ChatApi("judge", url), cache)
        assert len(requests) == 4
        assert out.read_bytes() == before
        grade(benchmarks[0], answers, out, ChatApi("another judge", url), cache)
        assert len(requests) == 7


def test_a_reply_without_grade_is_asked_for_again_hotter(benchmarks, answers, tmp_path) -> None:
    def stubborn(request: dict, number: int) -> str:
        return "well" if "answer 0" in request["messages"][0]["content"] else "0.7"

    with chat_server(stubborn) as (url, requests):
        grades = grade(benchmarks[0], answers, tmp_path / "grades.json", ChatApi("judge", url), Cache(None))
    assert [request["temperature"] for request in requests] == [0, 0.5, 1.0, 1.5, 2.0, 0, 0]
    assert "digit" in requests[1]["messages"][0]["content"]
    assert grades["v1_0"]["score"] == [0.0]
    assert grades["v1_1"]["score"] == [0.7]


SILENT = {"message": {"content": "", "reasoning_content": "0.3"}, "finish_reason": "length"}
UNUSABLE = {
    "silent": SILENT,
    "thought": {"message": {"content": "<think>It is 0.5"}, "finish_reason": "length"},
    "withheld": {"message": {"content": None}, "finish_reason": "content_filter"},
    "half a grade": {"message": {"content": "0."}, "finish_reason": "length"},
    "half a grade, too": {"message": {"content": "0"}, "finish_reason": "length"},
    "cut off": {"message": {"content": "Let me see"}, "finish_reason": "length"},
}


@pytest.mark.parametrize("reply", UNUSABLE.values(), ids=UNUSABLE)
def test_a_reply_without_usable_text_is_no_grade(benchmarks, answers, tmp_path, reply) -> None:
    cache, out = Cache(tmp_path / "cache"), tmp_path / "grades.json"
    mended = False

    def sometimes(request: dict, _: int):
        return graded(request, 0) if mended or "answer 1" not in request["messages"][0]["content"] else reply

    with chat_server(sometimes) as (url, requests):
        with pytest.raises(FetchError, match=f"no grade for 1 of 3 answers.*{reply['finish_reason']}: 1"):
            grade(benchmarks[0], answers, out, ChatApi("judge", url), cache)
        assert json.loads(out.read_text()).keys() == {"v1_0", "v1_2"}
        before, mended = len(requests), True
        grades = grade(benchmarks[0], answers, out, ChatApi("judge", url), cache)
        assert len(requests) == before + 1
    assert [its["score"] for its in grades.values()] == [[0.0], [0.5], [1.0]]


def test_a_silent_judge_is_asked_again_once_it_speaks(benchmarks, answers, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("CAMML_HOME", str(tmp_path / "home"))
    speaks = False
    with chat_server(lambda request, _: graded(request, 0) if speaks else SILENT) as (url, requests):
        command = ["eval", "judge", str(answers), "--judge", "j", "--base-url", url, "--data", str(benchmarks[0])]
        assert main(command) == 2
        assert len(requests) == 3  # one that ran out of room is not asked again at once
        error = capsys.readouterr().err
        assert "no grade for 3 of 3 answers" in error
        assert "--max-tokens" in error
        speaks = True
        assert main([*command, "--max-tokens", "500"]) == 0
    assert [request["max_tokens"] for request in requests] == [3] * 3 + [500] * 3


def test_a_zero_remembered_of_a_silent_judge_is_forgotten(benchmarks, answers, tmp_path) -> None:
    """Versions before remembered them."""
    cache = Cache(tmp_path / "cache")
    with chat_server(graded) as (url, requests):
        grade(benchmarks[0], answers, tmp_path / "g.json", ChatApi("judge", url), cache)
        for file in (tmp_path / "cache").rglob("*.json"):
            file.write_text('{"content": "", "score": 0.0}')
        grades = grade(benchmarks[0], answers, tmp_path / "g.json", ChatApi("judge", url), cache)
    assert len(requests) == 6
    assert [its["score"] for its in grades.values()] == [[0.0], [0.5], [1.0]]


def test_a_judge_that_thinks_and_a_cut_grade_that_is_whole(benchmarks, answers, tmp_path) -> None:
    replies = {
        "answer 0": {"message": {"content": "<think>0.1?</think>\n0.4"}, "finish_reason": "stop"},
        "answer 1": {"message": {"content": "0.5 be"}, "finish_reason": "length"},
        "answer 2": "1.0",
    }

    def said(request: dict, _: int):
        return next(its for key, its in replies.items() if key in request["messages"][0]["content"])

    with chat_server(said) as (url, _):
        grades = grade(benchmarks[0], answers, tmp_path / "g.json", ChatApi("judge", url), Cache(None))
    assert [its["score"] for its in grades.values()] == [[0.4], [0.5], [1.0]]


def test_an_unanswered_question_is_wrong_without_a_judge(benchmarks, tmp_path) -> None:
    records = [answer(0, "answer 2"), answer(1, "") | {"unanswered": "empty reply"}, answer(2, "answer 2")]
    file, out = lines(tmp_path / "answers.jsonl", records), tmp_path / "g.json"
    with chat_server(graded) as (url, requests):
        grade(benchmarks[0], file, out, ChatApi("judge", url), Cache(None), runs=2)
    assert len(requests) == 4
    result = score("mmvet", benchmarks[0], file, settings=Settings(grades=out), resamples=0)
    assert result.values["total"] == pytest.approx(200 / 3)
    assert result.unanswered == {"empty reply": 1}


def test_zeros_for_want_of_a_grade_are_said(benchmarks, answers, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("CAMML_HOME", str(tmp_path / "home"))
    with chat_server(lambda *_: "well") as (url, requests):
        command = ["eval", "judge", str(answers), "--judge", "j", "--base-url", url, "--data", str(benchmarks[0])]
        assert main(command) == 0
        assert (
            "3 answers count 0, as in the official grader: the judge gave no grade in 5 tries"
            in capsys.readouterr().err
        )
        main(command)
    assert len(requests) == 30  # not remembered


def test_no_runs_are_an_error(benchmarks, answers, tmp_path) -> None:
    with pytest.raises(OptionError, match="runs is 0"):
        grade(benchmarks[0], answers, tmp_path / "grades.json", ChatApi("judge"), Cache(None), runs=0)


def test_the_command_grades_the_folder_of_a_run(benchmarks, answers, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("CAMML_HOME", str(tmp_path / "home"))
    with chat_server(graded) as (url, _):
        command = ["eval", "judge", str(tmp_path), "--judge", "j", "--base-url", url, "--data", str(benchmarks[0])]
        assert main(command) == 0
    assert "3 answers graded" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "grades.json").read_text())) == 3
    assert main(["eval", "judge", str(tmp_path), "--judge", "j", "--base-url", "nowhere"]) == 2
    assert capsys.readouterr().err == "camml: error: the base URL 'nowhere' should begin with http:// or https://\n"


TOO_LONG = 400, {"error": {"message": "too long", "code": "context_length_exceeded"}}


def test_an_answer_that_is_too_long_for_the_judge_is_named(benchmarks, answers, tmp_path) -> None:
    def reply(request: dict, number: int):
        return TOO_LONG if "answer 1" in request["messages"][0]["content"] else graded(request, number)

    out = tmp_path / "g.json"
    with chat_server(reply) as (url, requests):
        with pytest.raises(FetchError, match=r"no grade for 1 of 3 answers \(1\) .*context_length_exceeded: 1"):
            grade(benchmarks[0], answers, out, ChatApi("judge", url), Cache(None))
        assert len(requests) == 3
    assert json.loads(out.read_text()).keys() == {"v1_0", "v1_2"}


def test_what_was_graded_is_written_when_the_endpoint_gives_up(benchmarks, answers, tmp_path) -> None:
    out = tmp_path / "g.json"
    limited = 429, {"error": {"message": "Rate limit reached"}}
    with chat_server(lambda request, number: limited if number > 2 else graded(request, number)) as (url, _):
        with pytest.raises(FetchError, match=rf"429 .*; 2 of 3 answers are graded in {out}, the next call goes on"):
            grade(benchmarks[0], answers, out, ChatApi("judge", url, tries=1), Cache(None))
        assert json.loads(out.read_text()).keys() == {"v1_0", "v1_1"}
    out.unlink()
    with chat_server(lambda *_: limited) as (url, _), pytest.raises(FetchError, match=r"Rate limit reached\W*$"):
        grade(benchmarks[0], answers, out, ChatApi("judge", url, tries=1), Cache(None))
    assert not out.exists()
