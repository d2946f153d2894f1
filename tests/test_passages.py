"""Texts in passages: everything is in one of them, in order, and each can be read by itself."""

import itertools
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camml import passages
from camml.errors import OptionError
from camml.passages import LONGEST, check_passages, join, split

WRITING = st.text(st.sampled_from("abAB .!?\n|\t-:;,。！\"'1205é語") | st.characters(codec="utf-8"), max_size=300)


def texts(text: str) -> list[str]:
    return [text[slice(*passage.span)] for passage in split(text)]


@given(WRITING)
def test_every_character_that_is_no_space_is_in_one_passage_or_in_a_heading(text: str) -> None:
    parts = split(text)
    spans = sorted({passage.span for passage in parts} | {p.heading for p in parts if p.heading})
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    assert [passage.span for passage in parts] == sorted(passage.span for passage in parts)
    left = set(range(len(text))) - {place for start, end in spans for place in range(start, end)}
    lost = "".join(text[place] for place in sorted(left))
    assert not lost.strip() or set(lost) <= set("|-:+= \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85"), repr(lost)


@given(WRITING)
def test_all_passages_joined_are_the_text(text: str) -> None:
    parts = split(text)
    if any(passage.heading for passage in parts):  # the ruler of a table is left out
        return
    assert "".join(join(text, [passage.span for passage in parts]).split()) == "".join(text.split())


@pytest.mark.parametrize(
    "text",
    [
        "The pump was built in the workshop of the monastery and\nit was painted red by the monks.\nIt weighs 12 kg.\n",
        "Name: X\nWeight: 12 kg\n\nColour: red",
        "| a | b |\n|---|---|\n| 1 | 2 |\n\nname\tweight\nX\t\nY\t4",
    ],
)
def test_line_ends_of_windows_change_no_passage(text: str) -> None:
    windows = text.replace("\n", "\r\n")
    assert [part.replace("\r", "") for part in texts(windows)] == texts(text)
    assert [passage.block for passage in split(windows)] == [passage.block for passage in split(text)]


@pytest.mark.long
@given(st.text("ab ,", min_size=LONGEST, max_size=4 * LONGEST))
def test_no_passage_is_longer_than_it_may_be(text: str) -> None:
    assert all(len(part) <= LONGEST for part in texts(text))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("It weighs 12 kg. It was made in Bern.", ["It weighs 12 kg.", "It was made in Bern."]),
        ("Built by Dr. A. Smith in St. Gallen. At 3.5 bar.", ["Built by Dr. A. Smith in St. Gallen.", "At 3.5 bar."]),
        ("No. 12 is spare! Really? Yes.", ["No. 12 is spare!", "Really?", "Yes."]),
        ('He said "go." Then he left.', ['He said "go."', "Then he left."]),
        ("Name: X\nWeight: 12 kg\n\nColour: red", ["Name: X", "Weight: 12 kg", "Colour: red"]),
        ("- first\n- second: 4 kg", ["- first", "- second: 4 kg"]),
        ("1. It starts in Fenbay.\n2. Made by Ann. It is red.\n(3) Iron",
         ["1. It starts in Fenbay.", "2. Made by Ann.", "It is red.", "(3) Iron"]),
        ("b) It is red. IV. It is blue.", ["b) It is red.", "IV. It is blue."]),
        ("music by ........ Swahili\nage . . . . . 12 years", ["music by ........ Swahili", "age . . . . . 12 years"]),
        ("He waited... Then he left.", ["He waited...", "Then he left."]),
        ("日本製です。重さは12kg。", ["日本製です。", "重さは12kg。"]),
        ("a line of prose that somebody's editor broke into\nlines goes on. End.",
         ["a line of prose that somebody's editor broke into\nlines goes on.", "End."]),
        ("", []),
        (" \n\t ", []),
    ],
)  # fmt: skip
def test_of_what_people_write(text: str, wanted: list[str]) -> None:
    assert texts(text) == wanted


@pytest.mark.parametrize(
    "rows", ["| part | price |\n|---|---|\n| bolt | 3 |\n| nut | 4 |", "part\tprice\nbolt\t3\nnut\t4"]
)
def test_the_rows_of_a_table_know_their_heading(rows: str) -> None:
    parts = split("Prices.\n" + rows + "\nAll of them.")
    text = "Prices.\n" + rows + "\nAll of them."
    read = [join(text, [part.span, *([part.heading] if part.heading else [])]) for part in parts]
    first, bolt, nut, last = read
    assert (first, last) == ("Prices.", "All of them.")
    assert bolt.splitlines()[0].split()[-1] in ("price", "|")
    assert "bolt" in bolt
    assert "nut" not in bolt
    assert "price" in bolt
    assert "price" in nut


def test_a_table_of_one_row_is_a_line() -> None:
    assert texts("| only | one row |") == ["| only | one row |"]


def test_what_was_on_lines_of_its_own_stays_so() -> None:
    text = "One. Two.\nThree."
    spans = [passage.span for passage in split(text)]
    assert join(text, [spans[2], spans[0]]) == "One.\nThree."
    assert join(text, spans[:2]) == "One. Two."
    assert passages.join(text, []) == ""


def test_a_long_sentence_without_pauses_is_cut_between_words() -> None:
    text = "abcdefg " * (LONGEST // 3)
    parts = texts(text)
    assert len(parts) > 1
    assert {word for part in parts for word in part.split()} == {"abcdefg"}


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("Here it is. It is old.\n\n- Weight: 12 kg\n- Colour: red\n\nSigned, A.", [0, 1, 2, 2, 3]),
        ("Name: X\nWeight: 12 kg", [0, 0]),
        ("Name: X\nIt is old. It is red.\nWeight: 12 kg", [0, 1, 2, 3]),
        ("Seen: | a | b |\n| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\nEnd.", [0, 1, 1, 1]),
        ("one", [0]),
        ("\n\none\n", [0]),
    ],
)
def test_lines_of_a_list_a_sheet_or_a_table_are_a_block(text: str, blocks: list[int]) -> None:
    assert [passage.block for passage in split(text)] == blocks


@given(WRITING)
def test_blocks_are_numbered_without_gaps(text: str) -> None:
    blocks = [passage.block for passage in split(text)]
    assert blocks == sorted(blocks)
    assert set(blocks) == set(range(len(set(blocks))))


@pytest.mark.parametrize(
    "repeated", ["A. ", "e.g. ", ". ", ".", "1. ", "i", "Co.) ", "a: ", "-", "|", "a\t", "!", "\n"]
)
def test_the_time_does_not_grow_with_the_square_of_the_length(repeated: str) -> None:
    """A row of as many abbreviations used to take minutes."""
    text = repeated * (120_000 // len(repeated))
    begun = time.process_time()
    split(text)
    assert time.process_time() - begun < 20


@pytest.mark.parametrize("line", ["-" * 5_000 + "\tx", " " * 200_000], ids=["dashes", "blanks"])
def test_a_long_line_of_dashes_or_blanks_in_a_table_is_split_soon(line: str) -> None:
    begun = time.process_time()
    parts = texts(f"Part\tPrice\n{line}\nBolt\t3")
    assert time.process_time() - begun < 10
    assert parts == [row for row in (line.strip(), "Bolt\t3") if row]


@pytest.mark.parametrize("setting", ["auto", "off", "72", "72-98", "72-72", "first:72"])
def test_settings_of_passages(setting: str) -> None:
    check_passages(setting)


@pytest.mark.parametrize("setting", ["", "0", "-1", "some", "9-2", "0-9", "1-2-3", "first:", "first:1-2"])
def test_a_setting_of_passages_that_cannot_be_is_refused(setting: str) -> None:
    with pytest.raises(OptionError, match=re.escape(f"passages is {setting!r}; it can be: auto, off, ")):
        check_passages(setting)
