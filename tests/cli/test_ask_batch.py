"""`camml ask --batch`: questions of a file, answered once each."""

import errno
import json
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from threading import Thread
from unicodedata import normalize
from unittest.mock import Mock

import pytest

from camml import encoders
from camml.assistant import Answer
from camml.cli import _ask_batch, build_parser, main
from camml.cli.ask import document
from camml.datastore import Datastore
from camml.errors import StoreNotFoundError
from tests import tiny


@pytest.fixture
def batch(tmp_path: Path, camml_folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run it over questions: exit code and standard error; answers are in `answers.jsonl`."""
    Datastore.build(tmp_path / "store", tiny.samples(tmp_path), encoders.load("hashed"))

    def run(*lines: object, more: tuple[str, ...] = ()) -> tuple[int, str]:
        text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
        (tmp_path / "questions.jsonl").write_text(text)
        options = ["--store", tmp_path / "store", "--model", camml_folder, "--max-new-tokens", "3", *more]
        out = () if "--out" in more else ("--out", tmp_path / "answers.jsonl")
        asked = ["--batch", tmp_path / "questions.jsonl", *out]
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


@pytest.fixture
def asked(batch, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The questions that are answered, without a model."""
    questions: list[str] = []

    def answer(args, rows, bad, skips):
        for row in rows:
            questions.append(row.question)
            yield {"id": row.id} | document(row.question, row.image, Answer("said", ()), {})

    monkeypatch.setattr(_ask_batch, "_answers", answer)
    return questions


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({"question": "How high?"}, {"question": "Who built it?"}),
        ({"id": "a", "question": "q", "image": "1.png"}, {"id": "a", "question": "q", "image": "2.png"}),
        ({"id": "a", "question": "q"}, {"id": "a", "question": "q", "image": "2.png"}),
    ],
)
def test_an_answer_to_another_question_is_not_taken_for_that_to_this_one(
    batch, asked: list[str], tmp_path: Path, before: dict, now: dict
) -> None:
    batch(before)
    there = (tmp_path / "answers.jsonl").read_bytes()
    code, said = batch(now, {"question": "third"}, more=("--on-bad", "skip"))
    assert code == 2
    assert f"line 1: ../{tmp_path.name}/answers.jsonl holds the answer to another question or picture" in said
    assert f"under the id {before.get('id', '1')!r}; give another --out" in said
    assert (tmp_path / "answers.jsonl").read_bytes() == there
    code, said = batch(before, {"question": "second"})
    assert (code, "1 answered, 1 were there" in said) == (0, True)


def test_a_file_name_that_is_not_unicode_is_written_and_known_again(batch, asked: list[str], tmp_path: Path) -> None:
    rows = [{"question": "What?", "image": "caf\udce9.png"}, {"question": "Größe?"}]
    code, said = batch(*rows)
    assert (code, "2 answered" in said) == (0, True)
    assert [answer["image"] for answer in answers(tmp_path)] == ["caf\udce9.png", None]
    code, said = batch(*rows)
    assert (code, "0 answered, 2 were there" in said, len(asked)) == (0, True, 2)


@pytest.mark.parametrize("image", ["x" * 300, "x/" * 3000, "a\0b"])
def test_a_picture_that_can_be_no_file_is_skipped(tmp_path: Path, image: str) -> None:
    args = build_parser().parse_args(["ask", "--batch", str(tmp_path / "questions.jsonl")])
    bad: list[str] = []
    assert _ask_batch._query(args, _ask_batch.Row("1", "line 1", "What?", image), bad, True) is None
    assert len(bad) == 1
    assert bad[0].startswith("line 1: ")


@pytest.mark.parametrize(("asked", "there"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_picture_is_found_whether_letters_and_accents_are_one_character_or_two(
    tmp_path: Path, asked: str, there: str
) -> None:
    tiny.image(tmp_path, normalize(there, "Pümpe"), (1, 2, 3))
    args = build_parser().parse_args(["ask", "--batch", str(tmp_path / "questions.jsonl")])
    row = _ask_batch.Row("1", "line 1", "What?", normalize(asked, "Pümpe.png"))
    assert _ask_batch._query(args, row, [], False) is not None


BAD = ['{"id": 1', '{"id": "x"}', '["question"]', '{"question": "q", "image": 3}', '{"id": "a", "question": "again"}']
BAD += ['{"question": ' + "[" * 3000 + "]" * 3000 + "}", '{"question": "q", "more": ' + "[" * 3000 + "]" * 3000 + "}"]
BAD += ['{"question": "half \\ud800"}', '{"question": "q", "image": "data:image/png;base64,AAAA"}']


@pytest.mark.parametrize("line", BAD, ids=lambda line: line[:20])
def test_a_bad_line_stops_before_anything_is_answered_or_is_skipped(batch, tmp_path: Path, line: str) -> None:
    good = {"id": "a", "question": "a red square"}
    code, said = batch(good, line)
    assert code == 2
    assert "questions.jsonl, line 2" in said
    assert ("is not JSON (nested too deeply)" in said) is ("[[[" in line)
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


@pytest.mark.parametrize(
    ("row", "name", "image"),
    [
        ({"id": 7.0}, "7", None), ({"id": None}, "1", None), ({"id": float("nan"), "image": float("nan")}, "1", None),
        ({"image": "d\\Pümpe 1.png"}, "1", "d\\Pümpe 1.png"),
        ({"image": "file://{folder}/d/P%C3%BCmpe 1.png"}, "1", "file://{folder}/d/P%C3%BCmpe 1.png"),
    ],
)  # fmt: skip
def test_ids_and_pictures_may_be_written_as_in_files_of_samples(
    tmp_path: Path, row: dict, name: str, image: str | None
) -> None:
    (tmp_path / "d").mkdir()
    tiny.image(tmp_path / "d", "Pümpe 1", (1, 2, 3))
    file = tmp_path / "questions.jsonl"
    file.write_text(json.dumps({"question": "q"} | row).replace("{folder}", str(tmp_path)))
    [read] = _ask_batch._rows(file, [], False)
    assert (read.id, read.image) == (name, image and image.replace("{folder}", str(tmp_path)))
    args = build_parser().parse_args(["ask", "--batch", str(file)])
    query = _ask_batch._query(args, read, [], False)
    assert query is not None
    assert (query.image is None) is (image is None)


SOMEONE_ELSES = {
    "text": "my notes\n", "lists": "[" * 3000 + "]" * 3000 + "\n", "JSON": '[{"id": 1, "note": "a year of work"}]',
    "indented": '{\n "id": 1\n}', "object": '{"id": "1", "question": "q", "image": null}', "words": "my notes",
    "cut": '{"id": "1", "note": "a year', "questions": '{"id": "1", "question": "q", "image": null}\n',
    "behind answers": '{"id": "1", "question": "q", "image": null, "answer": "a"}\nmy notes',
}  # fmt: skip


@pytest.mark.parametrize("content", SOMEONE_ELSES.values(), ids=SOMEONE_ELSES)
def test_a_file_of_something_else_is_left_alone(batch, tmp_path: Path, content: str) -> None:
    (tmp_path / "answers.jsonl").write_text(content)
    code, said = batch({"question": "a red square"})
    assert (code, "give another --out" in said) == (2, True)
    assert (tmp_path / "answers.jsonl").read_text() == content


WRONG = [
    (("--where", "nosuch=1"), "no sample has 'nosuch' among its metadata"),
    (("--max-new-tokens", "100000"), "with an answer of up to 100000"),
    (("--device", "nowhere"), "nowhere"),
]


@pytest.mark.parametrize("more", [(), ("--on-bad", "skip")], ids=["stop", "skip"])
@pytest.mark.parametrize(("options", "reason"), WRONG, ids=lambda value: value[0] if isinstance(value, tuple) else "")
def test_a_wrong_option_is_no_fault_of_a_question(
    batch, tmp_path: Path, options: tuple[str, ...], reason: str, more: tuple[str, ...]
) -> None:
    code, said = batch({"question": "a red square"}, {"question": "two"}, more=(*options, *more))
    assert code == 2
    assert reason in said
    assert "line 1" not in said
    assert "skipped" not in said
    assert not answers(tmp_path)


@pytest.mark.parametrize("shots", ["0", "-1"])
def test_no_shots_or_fewer_are_refused_and_not_blamed_on_a_question(batch, tmp_path: Path, shots: str) -> None:
    code, said = batch({"question": "a red square"}, more=("--shots", shots, "--on-bad", "skip"))
    assert (code, "give 1 or more" in said) == (2, True)
    assert not (tmp_path / "answers.jsonl").exists()


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\r\n"])
def test_only_ends_of_lines_end_a_question(tmp_path: Path, separator: str) -> None:
    file, asked = tmp_path / "questions.jsonl", "one" + separator + "two"
    lines = [json.dumps({"question": text}, ensure_ascii=False) for text in (asked, "three")]
    file.write_bytes((separator if separator == "\r\n" else "\n").join(lines).encode())
    rows = list(_ask_batch._rows(file, [], False))
    assert [(row.id, row.question) for row in rows] == [("1", asked), ("2", "three")]


def test_what_cannot_be_read_is_not_taken_for_a_place_that_cannot_be_written(
    batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = PermissionError(errno.EACCES, "Permission denied", "weights.bin")
    monkeypatch.setattr(_ask_batch, "_answers", Mock(side_effect=closed))
    code, said = batch({"question": "q"})
    assert (code, "Permission denied: weights.bin" in said, "cannot write" in said) == (2, True, False)
    code, said = batch({"question": "q"}, more=("--out", str(tmp_path / "none" / "answers.jsonl")))
    assert (code, "cannot write" in said) == (2, True)


def test_a_reader_of_standard_output_may_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "questions.jsonl").write_text('{"question": "q"}')
    gone = Mock(write=Mock(side_effect=BrokenPipeError(errno.EPIPE, "Broken pipe")))
    monkeypatch.setattr(_ask_batch, "_answers", lambda *_: iter([{"answer": "a"}]))
    monkeypatch.setattr(_ask_batch, "_opened", lambda out: nullcontext(gone))
    args = build_parser().parse_args(["ask", "--batch", str(tmp_path / "questions.jsonl")])
    with pytest.raises(BrokenPipeError):  # which `main` takes for no error
        args.run(args)


WHOLE = json.dumps({"id": "0"} | document("first", None, Answer("said", ()), {}))


@pytest.mark.parametrize(
    ("there", "kept"),
    [
        (WHOLE, WHOLE + "\n"), (WHOLE + '\n{"id": "1", "question": "se', WHOLE + "\n"), (WHOLE + "\n{", WHOLE + "\n"),
        (WHOLE + '\n{"id": "a\\"b\\', WHOLE + "\n"), (WHOLE + '\n{"id": "1", "que', WHOLE + "\n"),
    ],
)  # fmt: skip
def test_the_end_of_the_answers_is_mended_once_there_is_another(
    batch, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str, kept: str
) -> None:
    rows = [{"id": "0", "question": "first"}, {"id": "1", "question": "second"}]
    (tmp_path / "answers.jsonl").write_text(there)
    with monkeypatch.context() as patched:
        patched.setattr(_ask_batch, "_answers", Mock(side_effect=StoreNotFoundError("no datastore")))
        assert batch(*rows)[0] == 2
    assert (tmp_path / "answers.jsonl").read_text() == there
    assert batch(*rows)[0] == 0
    assert asked == ["second"]
    assert (tmp_path / "answers.jsonl").read_text().startswith(kept)
    assert [answer["id"] for answer in answers(tmp_path)] == ["0", "1"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_answers_go_into_a_pipe(batch, asked: list[str], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "answers.jsonl")
    read: list[str] = []
    reader = Thread(target=lambda: read.append((tmp_path / "answers.jsonl").read_text()), daemon=True)
    writer = Thread(target=batch, args=({"question": "first"}, {"question": "second"}), daemon=True)
    writer.start()
    reader.start()
    writer.join(20)
    reader.join(5)
    assert [json.loads(line)["question"] for line in "".join(read).splitlines()] == ["first", "second"]


def test_questions_and_answers_in_one_file_are_refused(batch, tmp_path: Path) -> None:
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "questions.jsonl")
    for name in ("questions.jsonl", "link.jsonl"):
        code, said = batch({"id": "a", "question": "q"}, more=("--out", str(tmp_path / name)))
        assert (code, "is the file of --batch; give the answers a file of their own" in said) == (2, True)
