"""A built OwnPix, read back for tests."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

Record = dict[str, Any]
FILES = ("short", "long", "unanswerable", "validation")


class Built:
    """The files of a build."""

    def __init__(self, folder: Path, manifest: Record) -> None:
        self.folder, self.manifest = folder, manifest

    def read(self, name: str) -> Any:
        """A JSON file of the build."""
        return json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))

    @cached_property
    def samples(self) -> dict[str, Record]:
        """The samples by class."""
        return {sample["meta"]["class"]: sample for sample in self.read("samples")}

    @cached_property
    def questions(self) -> dict[str, list[Record]]:
        """The questions of each file."""
        return {name: self.read(name) for name in FILES}

    @property
    def all_questions(self) -> list[Record]:
        """The questions of all files."""
        return [record for records in self.questions.values() for record in records]

    def sample_of(self, record: Record) -> Record:
        """The sample of the thing that a question is about."""
        return self.samples[record["meta"]["class"]]
