"""Rows that show what is read of long texts: what is asked stands there, or is to be refused."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from camml.neighbors import NeighborTable
from camml.reading import generator
from camml.refusals import REFUSAL


def two_lines(question: str, texts: Sequence[str]) -> list[str]:
    """The two lines of the first text that share most words with the question, and nothing of the others."""
    words = set(re.findall(r"\w+", question.lower()))
    lines = texts[0].splitlines()
    best = sorted(lines, key=lambda line: -len(words & set(re.findall(r"\w+", line.lower()))))[:2]
    return ["\n".join(line for line in lines if line in best), *("" for _ in texts[1:])]


def test_answers_stand_in_what_is_read_and_what_does_not_is_refused(tmp_path: Path) -> None:
    generator.build(tmp_path, rows=200, seed=5, texts=two_lines)
    rows = json.loads((tmp_path / "conversations.json").read_text())
    table = NeighborTable.open(tmp_path / "neighbors")
    forms: Counter[str] = Counter()
    for row in rows:
        (near,) = table.context(row["id"])
        assert len(near.sample.text.splitlines()) <= 2
        answers = [turn["value"] for turn in row["conversations"][1::2]]
        for place, (form, answer) in enumerate(zip(row["meta"]["forms"], answers, strict=True)):
            forms[form] += 1
            if form in ("open", "called"):
                assert answer.lower() in near.sample.text.lower()
            assert (answer == REFUSAL) == (form in ("unread", "untold", "stranger"))
            assert place == 0 or answer != REFUSAL  # a refusal can but be the answer to what was searched for
    assert {"open", "unread", "untold", "check"} <= set(forms)
    assert 0.1 < sum(forms[form] for form in ("untold", "stranger")) / len(rows) < 0.35
