"""`camml ask --batch`: questions of a file, answered once each."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from camml import encoders
from camml.cli import main
from camml.datastore import Datastore
from tests import tiny


@pytest.fixture
def batch(tmp_path: Path, camml_folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run it over questions: exit code and standard error; answers are in `answers.jsonl`."""
    Datastore.build(tmp_path / "store", tiny.samples(tmp_path), encoders.load("hashed"))

    def run(*lines: object, more: tuple[str, ...] = ()) -> tuple[int, str]:
        text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
        (tmp_path / "questions.jsonl").write_text(text)
        options = ["--store", tmp_path / "store", "--model", camml_folder, "--max-new-tokens", "3", *more]
        asked = ["--batch", tmp_path / "questions.jsonl", "--out", tmp_path / "answers.jsonl"]
        code = main(["ask", *map(str, (*asked, *options))])
        return code, capsys.readouterr().err

    return run


def answers(tmp_path: Path) -> list[dict]:
    return [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]


@pytest.mark.long
def test_each_question_has_an_answer_with_its_evidence(batch, tmp_path: Path) -> None:
    code, said = batch({"id": "a", "question": "a red square"}, {"question": "which", "image": "blue.png"})
    assert (code, "2 answered, 0 skipped" in said) == (0, True)
    first, second = answers(tmp_path)
    assert (first["id"], first["context"][0]["id"]) == ("a", "red")
    assert (second["id"], second["context"][0]["id"], second["image"]) == ("2", "blue", "blue.png")


@pytest.mark.long
def test_what_was_answered_is_not_asked_again(batch, tmp_path: Path) -> None:
    rows = [{"id": str(number), "question": f"question {number}"} for number in range(4)]
    batch(*rows[:2])
    before = (tmp_path / "answers.jsonl").read_text()
    (tmp_path / "answers.jsonl").write_text(before + '{"id": "2", "ques')  # cut off in the middle of a line
    code, said = batch(*rows)
    assert (code, "2 answered, 2 were there" in said) == (0, True)
    assert (tmp_path / "answers.jsonl").read_text().startswith(before)
    assert [answer["id"] for answer in answers(tmp_path)] == ["0", "1", "2", "3"]


BAD = ['{"id": 1', '{"id": "x"}', '["question"]', '{"question": "q", "image": 3}', '{"id": "a", "question": "again"}']


@pytest.mark.parametrize("line", BAD)
def test_a_bad_line_stops_before_anything_is_answered_or_is_skipped(batch, tmp_path: Path, line: str) -> None:
    good = {"id": "a", "question": "a red square"}
    code, said = batch(good, line)
    assert code == 2
    assert "questions.jsonl, line 2" in said
    assert not (tmp_path / "answers.jsonl").exists()
    code, said = batch(good, line, more=("--on-bad", "skip"))
    assert (code, "1 answered, 1 skipped" in said) == (0, True)


@pytest.mark.long
def test_one_that_cannot_be_answered_costs_no_other(batch, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    rows = [
        {"id": "long", "question": "what " * 900}, {"id": "broken", "question": "q", "image": "broken.png"},
        {"id": "good", "question": "a red square"},
    ]  # fmt: skip
    code, said = batch(*rows, more=("--on-bad", "skip"))
    assert (code, "1 answered, 2 skipped" in said) == (0, True)
    assert [answer["id"] for answer in answers(tmp_path)] == ["good"]
    assert "line 1: the question makes a prompt of" in said


def test_a_file_of_something_else_is_left_alone(batch, tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text("my notes\n")
    code, said = batch({"question": "a red square"})
    assert (code, "give another --out" in said) == (2, True)
    assert (tmp_path / "answers.jsonl").read_text() == "my notes\n"
