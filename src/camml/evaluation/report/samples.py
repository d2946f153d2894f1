"""The texts and pictures behind the ids in a log: samples from datastores, questions' pictures from the benchmarks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from camml.data.origins import store_state
from camml.datastore import Datastore, official_pair, official_samples
from camml.errors import CaMMLError
from camml.evaluation import task as tasks
from camml.evaluation.report.runs import Run
from camml.types import Sample

IN_FILE = "(in the question file)"
"""What a log has in place of the path of a picture that has no file of its own."""


class ById(Protocol):
    """Samples by id."""

    def __contains__(self, sample_id: object) -> bool: ...

    def __getitem__(self, sample_id: str) -> Sample: ...


class Stores:
    """The datastores that runs may have retrieved from, each opened when it is first needed.

    Args:
      names: folders, or INDEX_FILE:DATA_JSON.

    Raises:
      StoreNotFoundError: one is not there.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._hashes = {name: store_state(name)[0] for name in names}
        self._open: dict[str, ById] = {}

    def of(self, run: Run) -> tuple[ById, str]:
        """Return the samples of the datastore of a run, and a remark where they are not quite those of the run."""
        recorded = run.identity.get("store")
        if not recorded:
            return {}, ""
        same = [name for name, held in self._hashes.items() if held == recorded.get("hash")]
        alike = [name for name in self._hashes if Path(name).name == recorded.get("name")]
        if same:
            return self._samples(same[0]), ""
        if alike:
            return self._samples(alike[0]), (
                f"The datastore {recorded.get('name')} has changed since the run: samples are shown as they are now."
            )
        return {}, (
            f"Samples are shown by their ids alone: this report was made without the datastore {recorded.get('name')} "
            "(option --store)."
        )

    def _samples(self, name: str) -> ById:
        if name not in self._open:
            if pair := official_pair(name):
                self._open[name] = {sample.id: sample for sample in official_samples(pair[1])}
            else:
                self._open[name] = Datastore.open(name)
        return self._open[name]


class QuestionPictures:
    """The pictures of a task's questions.

    Args:
      task: its name.
      data: the folder of all tasks' data, asked only where a log does not lead to a picture.
    """

    def __init__(self, task: str, data: Path) -> None:
        self._task, self._data = task, data
        self._items: Mapping[str, Path | bytes | None] | None = None

    def find(self, record: Mapping[str, Any]) -> Path | bytes | None:
        """Return the picture of the question of a line of a log; the file may no longer exist."""
        image = record.get("image")
        if not isinstance(image, str) or not image:
            return None
        if image != IN_FILE and Path(image).is_file():
            return Path(image)
        return self._in_benchmark().get(record["id"]) or Path(image)

    def _in_benchmark(self) -> Mapping[str, Path | bytes | None]:
        if self._items is None:
            try:
                task = tasks.find(self._task)
                self._items = {item.id: item.image for item in task.read(task.place(self._data))}
            except CaMMLError:  # the data is elsewhere, or gone: the report does without
                self._items = {}
        return self._items
