"""The definition of a task: data, its questions, its metric. A file in `tasks/` defines one or several."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camml import plugins
from camml.errors import SampleError, UnknownNameError
from camml.types import Sample

Weights = NDArray[np.float64]
"""float64[N]: how often each item counts, in the order of `Measured.per_item`."""


@dataclass(frozen=True, slots=True)
class Item:
    """One question of a task.

    Attributes:
      id: unique in the task; `question_id` followed by `#2`, `#3`, ... where the benchmark repeats an id.
      question_id: as the question file has it, and what answer files repeat.
      text: the question as it is asked, with the task's answer instruction.
      image: a file, the encoded bytes of a picture, or none.
      truth: what the metric needs to know; None where the answers are not public.
      record: the entry of the question file.
      cluster: items that share it are not independent (questions about one image); intervals respect that.
      among: the truth of all questions by id, where a metric needs it also when only a part of them is scored.
    """

    id: str
    question_id: str | int
    text: str
    image: Path | bytes | None = None
    truth: Any = None
    record: Mapping[str, Any] = field(default_factory=dict)
    cluster: str = ""
    among: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Measured:
    """The result of a metric.

    Attributes:
      values: name to number, in the units of the official evaluator; `a/b` is b within the breakdown a.
      per_item: each item's own score, mostly in [0, 1], by item id (or by the id of a group scored as one).
      headline_of: the headline number with items counted `weights` times, where it is not the mean of `per_item`.
      clusters: the cluster of each entry of `per_item`, in its order; empty where each is its own.
      scale: the headline is `scale` times the mean of `per_item` (100 for a percentage).
      of_clusters: the headline is `scale` times the mean over clusters of the means within them.
      notes: what a reader of the numbers must know, such as how a file was read.
    """

    values: Mapping[str, float]
    per_item: Mapping[str, float]
    headline_of: Callable[[Weights], float] | None = None
    clusters: Sequence[str] = ()
    scale: float = 100.0
    of_clusters: bool = False
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """Named options of scoring; a task lists those it uses.

    Attributes:
      random_guess: seed for the official ScienceQA rule that guesses where no answer can be read.
      grades: a judge's grades (MM-Vet).
      answer_boxes: the frame of answered boxes: "same" as the truth's, "normalised", "padded" or "pixels".
      truth_boxes: the frame of the true boxes, needed where `answer_boxes` is not "same".
      unanswered: ids of items that were asked and got no answer, with the reason. Their text is empty, and they are
        wrong whatever an empty text would count as. No option: a run or an answer file says it.
    """

    random_guess: int | None = None
    grades: Path | None = None
    answer_boxes: str = "same"
    truth_boxes: str = "normalised"
    unanswered: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """The samples' knowledge about the questions of a task, where it can be told without a model.

    Attributes:
      about: the cluster of questions that a sample is about; None for none.
      says: what a sample answers to a question, as if the question were about it; None where it does not say.
    """

    about: Callable[[Sample], str | None]
    says: Callable[[Item, Sample], str | None]

    def right(self, item: Item, sample: Sample) -> bool:
        """Return True if a sample is about what is asked about, and says what is asked for."""
        return self.about(sample) == item.cluster and self.says(item, sample) is not None


Metric = Callable[[Sequence[Item], Mapping[str, str], Settings], Measured]
"""Items and the answer text by item id, to numbers. Only answered items are passed."""


Submit = Callable[[Sequence[Item], Mapping[str, str], Path, Path], None]


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file that a task reads, below the task's folder.

    Attributes:
      path: where the official layout has it.
      source: where a person gets it.
      needed: "always", to "run", to "score", or "optional" (used where it is there).
      also: other places where it is looked for.
    """

    path: str
    source: str
    needed: str = "always"
    also: tuple[str, ...] = ()

    def find(self, folder: Path) -> Path | None:
        """Return the path of the file, or None where it is in none of its places."""
        places = (folder / place for place in (self.path, *self.also))
        return next((place for place in places if place.exists()), None)

    def require(self, folder: Path) -> Path:
        """Return the path of the file.

        Raises:
          SampleError: it is not there; the message says how to get it.
        """
        path = self.find(folder)
        if path is None:
            raise SampleError(f"no {folder / self.path}; get it from {self.source}")
        return path


@dataclass(frozen=True, slots=True)
class Task:
    """A benchmark as data.

    Attributes:
      title: its name in papers.
      folder: its place below the data folder.
      files: what it reads.
      read: its items, in the order of the question file, from its folder.
      metric: how answers are scored; None where only the official server can.
      headline: the name in `Measured.values` that papers quote.
      max_new_tokens: the decoding limit of the official scripts.
      prompt_styles: the style in which a model is asked here, by the style it is asked in elsewhere.
      answer_keys: where its answer file has the id and the answer.
      submit: writes the official submission: (items, answers, path, the task's folder); None where there is none.
      submission: what `submit` writes, in a word.    submission_suffix: of its name; a folder has none.
      uses: the fields of `Settings` that the metric reads.
      ready: raises what would stop the scoring (missing Java, ...), before any model runs.
      points: a published figure is `points` times the headline number.
      published: the headline figure of known models, in the points of papers.
      knowledge: what samples know about its questions; None where only a model can tell.
      apart: its pictures are never samples of a datastore, so that what looks just like one is not held back.
      together: what the questions of a cluster are, where they are scored as a whole, so that a part of the questions
        has whole clusters; empty where each is scored alone.
    """

    title: str
    folder: str
    files: tuple[DataFile, ...]
    read: Callable[[Path], list[Item]]
    headline: str
    metric: Metric
    max_new_tokens: int = 128
    prompt_styles: Mapping[str, str] = field(default_factory=dict)
    answer_keys: tuple[str, str] = ("question_id", "text")
    submit: Submit | None = None
    submission: str = ""
    submission_suffix: str = ".json"
    uses: tuple[str, ...] = ()
    ready: Callable[[], None] | None = None
    points: float = 1.0
    published: Mapping[str, float] = field(default_factory=dict)
    knowledge: Knowledge | None = None
    apart: bool = False
    together: str = ""

    def place(self, data: Path) -> Path:
        """Return the task's folder in `data`, or `data` itself where it already is that folder."""
        inside = data / self.folder
        holds = not inside.is_dir() and any(file.find(data) for file in self.files)
        return data if holds else inside

    def missing(self, data: Path, purpose: str) -> list[str]:
        """Return one line for each file that is not there but needed to "run" or "score"."""
        folder = self.place(data)
        wanted = [file for file in self.files if file.needed in ("always", purpose) and not file.find(folder)]
        return [f"{self.title}: no {folder / file.path}; get it from {file.source}" for file in wanted]


FOLDER = "evaluation.tasks"


def names() -> list[str]:
    """Return the names of all tasks that can be used."""
    return sorted(usable())


def find(name: str) -> Task:
    """Return the task called `name`, defined in the file of that name or in one whose name is a prefix of it.

    Raises:
      UnknownNameError: there is none; the message lists those there are.
      PluginError: another package adds it and it cannot be used.

    Example:
      >>> find("factpix_late").title
      'FactPix late knowledge'
    """
    files = plugins.names(FOLDER)
    if name in files:
        tasks = _tasks(name, plugins.find(FOLDER, name))
    else:
        tasks = usable([file for file in files if name.startswith(file)])
    if name not in tasks:
        raise UnknownNameError(f"no {plugins.NOUNS[FOLDER]} {name!r}; there are: {', '.join(names())}")
    return tasks[name]


def usable(files: Collection[str] | None = None) -> dict[str, Task]:
    """Return all tasks by name, or those of some files, less those of other packages that cannot be imported."""
    modules = plugins.working(FOLDER, files)
    tasks = {name: task for file, module in modules for name, task in _tasks(file, module).items()}
    return dict(sorted(tasks.items()))


def _tasks(file: str, module: Any) -> Mapping[str, Task]:
    """Return the tasks of a file by name."""
    tasks: Mapping[str, Task] = module.TASKS if hasattr(module, "TASKS") else {file: module.TASK}
    return tasks


def check_data(tasks: Sequence[Task], data: Path, purpose: str) -> None:
    """Raise if anything that the tasks need to "run" or "score" is missing.

    Raises:
      SampleError: every missing file of every task, where it was expected and how to get it.
    """
    lines = [line for task in tasks for line in task.missing(data, purpose)]
    if lines:
        raise SampleError("; ".join(lines))
    for task in tasks:
        if task.ready:
            task.ready()


def published(camml_7b: float, camml_13b: float, *llava: float) -> dict[str, float]:
    """Return headline figures of the CaMML paper: its two models and, where given, LLaVA-1.5 7B and 13B."""
    figures = zip(
        ("CaMML-7B", "CaMML-13B", "LLaVA-1.5-7B", "LLaVA-1.5-13B"), (camml_7b, camml_13b, *llava), strict=False
    )
    return dict(figures)


def mean(values: Sequence[float]) -> float:
    """Return the mean, or 0 of nothing."""
    return float(sum(values)) / len(values) if values else 0.0
