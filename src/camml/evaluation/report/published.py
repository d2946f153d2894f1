"""Published figures beside which runs are shown, and where they stand."""

from collections.abc import Mapping
from dataclasses import dataclass

from camml.evaluation import task as tasks


@dataclass(frozen=True, slots=True)
class Publication:
    """A paper."""

    title: str
    url: str


CAMML = Publication("CaMML (Chen et al., ACL 2024)", "https://arxiv.org/abs/2401.03149")
LLAVA = Publication("LLaVA-1.5 (Liu et al., CVPR 2024)", "https://arxiv.org/abs/2310.03744")
MODELS: Mapping[str, Publication] = {
    "CaMML-7B": CAMML,
    "CaMML-13B": CAMML,
    "LLaVA-1.5-7B": LLAVA,
    "LLaVA-1.5-13B": LLAVA,
}
"""The models, in the order of tables. Figures are those that the CaMML paper's tables give, also for LLaVA-1.5."""

FURTHER: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "scienceqa_ft": {
        "image_accuracy": {"CaMML-7B": 89.24, "CaMML-13B": 89.94},
        "text_accuracy": {"CaMML-7B": 93.21, "CaMML-13B": 93.84},
    }
}
"""Task to measure to model to figure, where papers quote more than the headline. Source: the CaMML paper, ScienceQA."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a task, as papers quote it.

    Attributes:
      task: its name.    title: its name in papers.
      name: of the number in a score; breakdowns as `a/b`.
      points: a published figure is `points` times that number.
      headline: whether it is the task's main number.
      figures: model to published figure.
    """

    task: str
    title: str
    name: str
    points: float
    headline: bool
    figures: Mapping[str, float]


def measures(name: str) -> list[Measure]:
    """Return the numbers of a task that are shown, the headline first.

    Raises:
      UnknownNameError: there is no such task.
    """
    task = tasks.find(name)
    further = FURTHER.get(name, {})
    return [
        Measure(name, task.title, task.headline, task.points, True, task.published),
        *(Measure(name, task.title, number, task.points, False, figures) for number, figures in further.items()),
    ]
