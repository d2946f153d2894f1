"""Submission files as the official servers and graders take them."""

import io
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from camml.errors import OptionError, SampleError
from camml.evaluation.files import write_bytes, write_json, write_lines
from camml.evaluation.metrics.choices import aokvqa_choice
from camml.evaluation.metrics.gqa import gqa_answer
from camml.evaluation.metrics.mmvet import grade_id
from camml.evaluation.metrics.vqa import evalai_answer
from camml.evaluation.task import Item

Answers = Mapping[str, str]
TEXTVQA_ID = "textvqa_id"
"""The key of an item's record under which TextVQA's own question id is."""
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # not allowed in a spreadsheet


def vizwiz(items: Sequence[Item], answers: Answers, path: Path, folder: Path) -> None:
    """Write `[{"image", "answer"}]` for the VizWiz server."""
    write_json(path, [{"image": item.record["image"], "answer": evalai_answer(answers[item.id])} for item in items])


def textvqa(items: Sequence[Item], answers: Answers, path: Path, folder: Path) -> None:
    """Write `[{"question_id", "answer"}]` with TextVQA's own question ids.

    Raises:
      SampleError: its annotations do not say them.
    """
    lacking = [item.id for item in items if TEXTVQA_ID not in item.record]
    if lacking:
        raise SampleError(
            f"TextVQA's annotations have no question_id for question {lacking[0]} and {len(lacking) - 1} others, and "
            "its server takes answers by it; take the whole annotation file"
        )
    write_json(
        path,
        [{"question_id": item.record[TEXTVQA_ID], "answer": evalai_answer(answers[item.id])} for item in items],
    )


def gqa(items: Sequence[Item], answers: Answers, path: Path, folder: Path) -> None:
    """Write `[{"questionId", "prediction"}]` for GQA's eval.py."""
    write_json(path, [{"questionId": item.question_id, "prediction": gqa_answer(answers[item.id])} for item in items])


def seed(items: Sequence[Item], answers: Answers, path: Path, folder: Path) -> None:
    """Write `{"question_id", "prediction"}` lines for the SEED-Bench leaderboard."""
    write_lines(path, ({"question_id": str(item.question_id), "prediction": answers[item.id]} for item in items))


def mmvet(items: Sequence[Item], answers: Answers, path: Path, folder: Path) -> None:
    """Write `{"v1_0": text, ...}` for MM-Vet's grader."""
    write_json(path, {grade_id(item): answers[item.id] for item in items})


def captions(items: Sequence[Item], answers: Answers, path: Path, folder: Path) -> None:
    """Write `[{"image_id", "caption"}]`, the result format of COCO captions."""
    write_json(path, [{"image_id": item.question_id, "caption": answers[item.id]} for item in items])


def aokvqa(items: Sequence[Item], answers: Answers, path: Path, folder: Path) -> None:
    """Write `{question id: {"multiple_choice", "direct_answer"}}` for A-OKVQA; a choice is written out in full."""
    document = {}
    for item in items:
        text = answers[item.id]
        place = aokvqa_choice(text, item.truth["choices"])
        chosen = text if place is None else item.truth["choices"][place]
        document[str(item.question_id)] = {"multiple_choice": chosen, "direct_answer": text}
    write_json(path, document)


def mme(items: Sequence[Item], answers: Answers, path: Path, folder: Path) -> None:
    """Write a folder with `<subtask>.txt`, lines of picture, question, truth and answer, for MME's calculation.py."""
    lines: dict[str, list[str]] = defaultdict(list)
    asked = set()
    for item in items:
        truth = item.truth
        if (truth["subtask"], truth["image"], truth["question"]) in asked:
            continue
        asked.add((truth["subtask"], truth["image"], truth["question"]))
        text = re.sub(r"[\t\r\n]", " ", answers[item.id])
        lines[truth["subtask"]].append("\t".join((truth["file"], truth["question"], truth["answer"], text)) + "\n")
    for subtask, rows in lines.items():
        write_bytes(path / f"{subtask}.txt", "".join(rows).encode())


_NOT_UPLOADED = ("hint", "category", "source", "image", "comment", "l2-category")


def mmbench(items: Sequence[Item], answers: Answers, path: Path, folder: Path) -> None:
    """Write the MMBench sheet: the question file without its long columns, `prediction` as the seventh.

    Raises:
      OptionError: the package openpyxl is not there.
    Source: LLaVA's convert_mmbench_for_submission.py.
    """
    try:
        from openpyxl import Workbook
    except ImportError:
        raise OptionError("an MMBench sheet needs openpyxl: pip install 'camml[eval]'") from None
    book = Workbook(write_only=True)
    sheet = book.create_sheet("Sheet1")
    columns = [name for name in items[0].record if name not in _NOT_UPLOADED] if items else ["index"]
    sheet.append([*columns[:6], "prediction", *columns[6:]])
    for item in items:
        row: list[Any] = [int(item.question_id), *(_cell(item.record[name]) for name in columns[1:])]
        sheet.append([*row[:6], _cell(answers[item.id]), *row[6:]])
    buffer = io.BytesIO()
    book.save(buffer)
    write_bytes(path, buffer.getvalue())


def _cell(text: str | None) -> str | None:
    return _UNPRINTABLE.sub("", text) if text else None
