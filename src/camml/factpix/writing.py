"""The files of the benchmark beside its pictures: samples, questions, ScienceQA's shape, credits, manifest."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

from camml.durable import disk_errors, write_file
from camml.factpix.questions import CHOICE

Record = dict[str, Any]
SUBJECTS = {"flags": "social science", "maps": "social science", "emoji": "language science"}
SCIENCEQA_SPLITS = {"train": "train", "validation": "val", "heldout": "test"}


def write_json(folder: Path, files: Mapping[str, Sequence[Record]]) -> dict[str, str]:
    """Write each list to the file it is named by, and return the SHA-256 of each by name."""
    return {name: _write(folder / name, _lines(records)) for name, records in files.items()}


def write_scienceqa(folder: Path, questions: Mapping[str, Sequence[Record]]) -> dict[str, str]:
    """Write the questions with options as ScienceQA has them, in `scienceqa/`, and return SHA-256 by name.

    The folder of a problem's picture is a link to the folder where that picture is, so no picture is stored twice.
    """
    problems: dict[str, Record] = {}
    splits: dict[str, list[str]] = {}
    for name, split in SCIENCEQA_SPLITS.items():
        splits[split] = []
        links = folder / "scienceqa" / "images" / split
        with disk_errors(links):
            links.mkdir(parents=True, exist_ok=True)
            for record in questions[name]:
                if record["meta"]["kind"] == CHOICE:
                    number = str(len(problems) + 1)
                    problems[number] = _problem(record, split)
                    splits[split].append(number)
                    _link(links / number, f"../../../{Path(record['image']).parent.as_posix()}")
            for stale in {link.name for link in links.iterdir() if link.is_symlink()} - set(splits[split]):
                (links / stale).unlink()
    return {
        "scienceqa/problems.json": _write(folder / "scienceqa/problems.json", _plain(problems)),
        "scienceqa/pid_splits.json": _write(folder / "scienceqa/pid_splits.json", _plain(splits)),
    }


def write_text(folder: Path, name: str, text: str) -> dict[str, str]:
    """Write a text, and return its SHA-256 by name."""
    return {name: _write(folder / name, text)}


def counts(
    samples: Sequence[Record], questions: Mapping[str, Sequence[Record]], pictures: Mapping[str, Sized]
) -> Record:
    """Count the contents for the manifest."""
    classes = {(s["meta"]["topic"], s["meta"]["class"], s["meta"]["split"]) for s in samples}
    return {
        "images": {topic: len(paths) for topic, paths in sorted(pictures.items())},
        "classes": dict(sorted(Counter(f"{topic}/{split}" for topic, _, split in classes).items())),
        "samples": len(samples),
        "questions": {
            name: dict(sorted(Counter(r["meta"]["kind"] for r in records).items()), all=len(records))
            for name, records in questions.items()
        },
    }


def write_manifest(folder: Path, manifest: Record) -> None:
    """Write `manifest.json`, the last of a build: where it is, all is."""
    write_file(folder / "manifest.json", _plain(manifest).encode())


def _problem(record: Record, split: str) -> Record:
    meta = record["meta"]
    return {
        "question": record["conversations"][0]["value"].split("\n")[1],
        "choices": meta["choices"],
        "answer": ord(meta["answer"]) - ord("A"),
        "hint": "",
        "image": Path(record["image"]).name,
        "task": "closed choice",
        "grade": "grade7",
        "subject": SUBJECTS.get(meta["topic"], "natural science"),
        "topic": meta["topic"],
        "category": meta["field"],
        "skill": record["id"],
        "lecture": "",
        "solution": "",
        "split": split,
    }


def _link(place: Path, target: str) -> None:
    if place.is_symlink():
        if os.readlink(place) == target:
            return
        place.unlink()
    place.symlink_to(target)


def _lines(records: Sequence[Record]) -> str:
    """Format a JSON list with a record in a line: small, and a person can still read and compare it."""
    return "[\n" + ",\n".join(json.dumps(record, ensure_ascii=False) for record in records) + "\n]\n"


def _plain(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _write(path: Path, text: str) -> str:
    data = text.encode()
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, data)
    return hashlib.sha256(data).hexdigest()
