"""Runs on disk, as `camml eval run` leaves them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.layouts import document, lines

Record = dict[str, Any]


def record(number: int, score: float | None = 1.0, **changes: Any) -> Record:
    """A line of a log."""
    return {
        "id": f"q{number}", "question_id": f"q{number}", "question": f"What is {number}?", "image": None,
        "retrieved": [{"id": "s0", "score": 0.9}, {"id": "s1", "score": 0.5}], "used": ["s0"],
        "prompt": f"prompt {number}", "prompt_tokens": 7, "new_tokens": 2, "answer": f"answer {number}", "notes": [],
        "truth": {"answers": ["yes", "yes", "no"]}, "score": score, **changes,
    }  # fmt: skip


def write_run(folder: Path, records: Sequence[Record], *, score: float | None = 50.0, **changes: Any) -> Path:
    """A run folder; `changes` go into its run.json."""
    identity = {
        "task": "okvqa", "context": "retrieved", "shots": 1, "questions": {"number": len(records), "hash": "x"},
        "limit": None, "model": {"name": "camml-7b", "hash": "h", "use": "perceiver", "prompt_style": None},
        "decoding": {"max_new_tokens": 16, "temperature": 0.0, "top_p": 1.0, "seed": None}, "batch_size": 8, "seed": 0,
        "store": {"name": "evidence", "hash": "none", "encoder": {"name": "hashed", "revision": "1"}, "retrieved": 4},
        "versions": {"camml": "0"}, **changes,
    }  # fmt: skip
    document(folder / "run.json", identity)
    if score is not None:
        interval = {"low": score - 5, "high": score + 4}
        values = {"accuracy": score, "answer_type": {"other": 12.5}}
        document(folder / "score.json", {"task": identity["task"], "headline": "accuracy", "values": values,
                                         "interval": interval})  # fmt: skip
    lines(folder / "log.jsonl", records)
    return folder


@pytest.fixture
def run_folder(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a run of OK-VQA under `runs/<name>`."""
    return lambda name, records, **changes: write_run(tmp_path / "runs" / name, records, **changes)


def page_data(folder: Path) -> dict[str, Any]:
    """The data of a run's page."""
    text = (folder / "records.js").read_text(encoding="ascii")
    return json.loads(text.removeprefix("var camml = ").rstrip().removesuffix(";"))
