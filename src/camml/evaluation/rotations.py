"""MMBench's question sheet: pictures in the cells, and one row for each rotation of a question's options."""

import base64
import binascii
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from camml.errors import SampleError
from camml.evaluation import submissions
from camml.evaluation.files import field, read_table
from camml.evaluation.metrics.choices import ROUND, circular_accuracy
from camml.evaluation.questions import unique
from camml.evaluation.task import DataFile, Item, Task

LETTERS = "ABCD"
# What pandas reads as no value in the official scripts, and what they then take for none.
_EMPTY = frozenset(
    ("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN")
) | frozenset(("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"))


def sheet_task(title: str, folder: str, sheet: str, suffix: str, published: Mapping[str, float]) -> Task:
    """Make the task that asks the questions of one of MMBench's sheets, each with `suffix` behind its options."""
    questions = DataFile(sheet, f"https://download.openmmlab.com/mmclassification/datasets/mmbench/{sheet}")
    return Task(
        title=title,
        folder=folder,
        files=(questions,),
        read=partial(read_rotations, questions, suffix),
        metric=circular_accuracy,
        headline="accuracy",
        max_new_tokens=1024,
        submit=submissions.mmbench,
        submission="xlsx for the MMBench server",
        submission_suffix=".xlsx",
        together="all rotations of a question",
        published=published,
    )


def read_rotations(file: DataFile, suffix: str, folder: Path) -> list[Item]:
    """Read the items of an MMBench sheet: hint, question, lettered options and `suffix`, as LLaVA asks them.

    A sheet without rotated rows gets them, numbered as the official sheets number theirs.

    Raises:
      SampleError: not such a sheet.
    Source: LLaVA's model_vqa_mmbench.py.
    """
    path = file.require(folder)
    rows = read_table(path)
    for number, row in enumerate(rows, start=2):
        if not str(field(row, "index", path, number)).isdigit():
            raise SampleError(f"{path}, row {number}: the index should be a number, not {row['index']!r}")
    if rows and all(int(row["index"]) < ROUND for row in rows):
        rows = [turned for row in rows for turned in rotations(row)]
    pictures = {row["index"]: row.get("image", "") for row in rows}
    items = unique(_item(row, pictures, suffix, path, number) for number, row in enumerate(rows, start=2))
    turned = Counter(item.cluster for item in items)
    return [item if item.truth is None else replace(item, truth=item.truth | {"rotations": turned[item.cluster]})
            for item in items]  # fmt: skip


def present(row: Mapping[str, str], name: str) -> bool:
    """Return True if a cell holds a value, by the rules of the official scripts."""
    value = row.get(name) or ""
    return value not in _EMPTY and value.lower() not in ("nan", "none")


def options(row: Mapping[str, str]) -> dict[str, str]:
    """Map letters to options, up to the first that is empty."""
    by_letter = {}
    for letter in LETTERS:
        if not present(row, letter):
            break
        by_letter[letter] = row[letter]
    return by_letter


def rotations(row: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the row, and one for each further rotation of its options: A takes what B had, and so does the answer."""
    given = options(row)
    letters, texts = list(given), list(given.values())
    turned = []
    for turn in range(max(1, len(letters))):
        moved = dict(zip(letters, texts[turn:] + texts[:turn], strict=True))
        answer = row.get("answer", "")
        if answer in letters:
            answer = letters[(letters.index(answer) - turn) % len(letters)]
        turned.append({**row, **moved, "index": str(int(row["index"]) + turn * ROUND), "answer": answer})
    return turned


def _item(row: Mapping[str, str], pictures: Mapping[str, str], suffix: str, path: Path, number: int) -> Item:
    given = options(row)
    lines: Sequence[str] = [
        *([row["hint"]] if present(row, "hint") else []),
        field(row, "question", path, number),
        *(f"{letter}. {text}" for letter, text in given.items()),
        suffix,
    ]
    truth = None
    if present(row, "answer"):
        category, broad = row.get("category", ""), row.get("l2-category", "")
        truth = {"answer": row["answer"], "options": given, "category": category, "l2": broad}
    index = int(row["index"])
    picture = _picture(row, pictures, f"{path}, row {number}")
    return Item(row["index"], index, "\n".join(lines), picture, truth, row, str(index % ROUND))


def _picture(row: Mapping[str, str], pictures: Mapping[str, str], place: str) -> bytes | None:
    """Return the bytes of the row's picture; a cell may hold the index of another row that has it."""
    text = row.get("image", "")
    text = pictures.get(text, text)
    try:
        return base64.b64decode(text, validate=True) if text else None
    except binascii.Error:
        raise SampleError(f"{place}: its image is not base64") from None
