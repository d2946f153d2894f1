"""A built benchmark, read back for tests."""

import json
from collections import defaultdict
from functools import cached_property
from pathlib import Path
from typing import Any

Record = dict[str, Any]
FILES = ("train", "validation", "heldout", "style", "late")


class Built:
    """The files of a build."""

    def __init__(self, folder: Path, manifest: Record) -> None:
        self.folder, self.manifest = folder, manifest

    def read(self, name: str) -> Any:
        """A JSON file of the build."""
        return json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))

    @cached_property
    def questions(self) -> dict[str, list[Record]]:
        """The questions of each file."""
        return {name: self.read(name) for name in FILES}

    @cached_property
    def samples(self) -> list[Record]:
        """All samples, the late ones too."""
        return [*self.read("samples"), *self.read("late_samples")]

    @cached_property
    def samples_of(self) -> dict[tuple[str, str], list[Record]]:
        """The samples of each class."""
        result = defaultdict(list)
        for sample in self.samples:
            result[class_of(sample)].append(sample)
        return dict(result)

    def of_kind(self, name: str, kind: str) -> list[Record]:
        """The questions of a file that are of one kind."""
        return [record for record in self.questions[name] if record["meta"]["kind"] == kind]


def class_of(record: Record) -> tuple[str, str]:
    """Topic and class of a sample or question."""
    return record["meta"]["topic"], record["meta"]["class"]


def text_of(record: Record) -> str:
    """What is asked."""
    value: str = record["conversations"][0]["value"]
    return value.removeprefix("<image>\n")


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
