"""MMBench's sheet: prompts, rotations, pictures."""

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camml.errors import SampleError
from camml.evaluation.questions import ONE_LETTER
from camml.evaluation.rotations import options, read_rotations, rotations
from camml.evaluation.task import DataFile

COLUMNS = ["index", "question", "hint", "A", "B", "C", "D", "answer", "image"]


def _read(folder: Path, *rows: list[str]) -> list:
    (folder / "x.tsv").write_text("\n".join("\t".join(row) for row in (COLUMNS, *rows)) + "\n")
    return read_rotations(DataFile("x.tsv", "nowhere"), ONE_LETTER, folder)


def test_prompts_are_those_of_llava(tmp_path: Path) -> None:
    (item,) = _read(tmp_path, ["1000001", "Which?", "Look.", "cat", "dog", "nan", "", "A", ""])
    assert item.text == f"Look.\nWhich?\nA. cat\nB. dog\n{ONE_LETTER}"
    assert item.question_id == 1_000_001
    (item,) = _read(tmp_path, ["1000001", "Which?", "None", "7", "", "cat", "", "A", ""])
    assert item.text == f"Which?\nA. 7\n{ONE_LETTER}"  # options end at the first empty cell


def test_a_sheet_without_rotations_gets_them(tmp_path: Path) -> None:
    items = _read(tmp_path, ["5", "Which?", "", "a", "b", "c", "", "C", ""])
    assert [item.question_id for item in items] == [5, 1_000_005, 2_000_005]
    assert [item.truth["answer"] for item in items] == ["C", "B", "A"]
    assert {item.truth["options"][item.truth["answer"]] for item in items} == {"c"}
    assert {item.cluster for item in items} == {"5"}


def test_a_sheet_with_rotations_is_left_alone(tmp_path: Path) -> None:
    rows = [[str(index), "Which?", "", "a", "b", "", "", "A", ""] for index in (5, 1_000_005)]
    assert len(_read(tmp_path, *rows)) == 2


@given(st.lists(st.text("abcdef", min_size=1, max_size=3), min_size=1, max_size=4, unique=True), st.data())
def test_the_answer_goes_along(texts: list[str], data: st.DataObject) -> None:
    letters = "ABCD"[: len(texts)]
    answer = data.draw(st.sampled_from(letters))
    row = dict(zip(letters, texts, strict=True)) | {"index": "3", "answer": answer}
    turned = rotations(row)
    assert len(turned) == len(texts)
    assert {row[row["answer"]] for row in turned} == {row[answer]}
    assert all(sorted(options(row).values()) == sorted(texts) for row in turned)
    assert len({tuple(options(row).values()) for row in turned}) == len(texts)


def test_pictures_are_bytes_and_may_be_shared(tmp_path: Path) -> None:
    code = base64.b64encode(b"\x89PNG...").decode()
    items = _read(
        tmp_path,
        ["5", "Which?", "", "a", "b", "", "", "A", code],
        ["1000005", "Which?", "", "b", "a", "", "", "B", "5"],
        ["1000006", "Which?", "", "b", "a", "", "", "", ""],
    )
    assert [item.image for item in items] == [b"\x89PNG...", b"\x89PNG...", None]
    assert items[2].truth is None


def test_an_index_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SampleError, match=r"row 3: the index should be a number, not 'one'"):
        _read(tmp_path, *([index, "Which?", "", "a", "b", "", "", "A", ""] for index in ("1", "one")))


def test_each_row_says_how_many_rotations_its_question_has(tmp_path: Path) -> None:
    """In some sheets a question lacks a rotation; then those it has are all of them."""
    rows = [["1", "?", "", "a", "b", "c", "", "A", ""], ["1000001", "?", "", "b", "c", "a", "", "C", ""],
            ["2", "?", "", "a", "b", "", "", "A", ""]]  # fmt: skip
    assert [item.truth["rotations"] for item in _read(tmp_path, *rows)] == [2, 2, 1]
