"""The table of docs/ownpix.md is what was measured."""

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return import_module("budgets_table")


def row(reader: str, task: str, right: float, texts: str = "chosen", tokens: int | None = 72, shots: int = 3) -> Any:
    return {
        "reader": reader, "task": task, "texts": texts, "tokens": tokens, "shots": shots, "right": right,
        "prompt_tokens": 80.4,
    }  # fmt: skip


def test_each_reader_has_a_line_for_what_it_is_given(script: ModuleType) -> None:
    rows = [
        row("as it is", "factpix", 20, "full", None),
        row("CaMML", "factpix", 90.25, tokens=24),
        row("CaMML", "ownpix_short", 75),
        row("CaMML", "ownpix_short", 1),  # the first row counts
        row("fine-tuned", "ownpix_long", 54, "full", None, 1),
        {"reader": "no model", "task": "factpix", "texts": "nearest fact", "shots": 1, "right": 93, "prompt_tokens": 0},
    ]
    assert script.table(rows).splitlines()[2:] == [
        "| no model: the nearest one's fact | – |  |  | 93.0 | – |",
        "| fine-tuned, one full text | all |  | 54.0 |  | –, 80, – |",
        "| **CaMML mini**, chosen | 72 | 75.0 |  |  | 80, –, – |",
        "| **CaMML mini**, chosen | 24 |  |  | 90.2 | –, –, 80 |",
        "| SmolLM2 as it is, full texts | all |  |  | 20.0 | –, –, 80 |",
    ]


def test_the_page_shows_what_was_measured(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs/ownpix.md").read_text()
    command = re.search(r"python benchmarks/budgets_table.py (.*)", page)
    assert command
    monkeypatch.chdir(ROOT)
    script.main(command[1].split())
    for line in capsys.readouterr().out.splitlines():
        assert line in page, f"docs/ownpix.md lacks {line!r}; copy the table of the script"
