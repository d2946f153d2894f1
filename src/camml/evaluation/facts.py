"""Questions about facts of pictured things, as FactPix asks them, and what samples with such facts say to them."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from camml.errors import SampleError
from camml.evaluation.metrics import factpix, ownpix
from camml.evaluation.metrics.factpix import LETTERS, plain
from camml.evaluation.questions import read_conversations
from camml.evaluation.task import DataFile, Item, Knowledge, Metric, Task
from camml.factpix.questions import UNANSWERABLE
from camml.refusals import REFUSAL
from camml.types import Sample

KINDS = ("open", "choice", "yesno", UNANSWERABLE)
SOURCE = "`camml bench-data build --out data/factpix`"
OWN_SOURCE = "`camml bench-data build --set ownpix --out data/ownpix`"


def split(
    title: str, name: str, *, folder: str = "factpix", source: str = SOURCE, metric: Metric = factpix.measure
) -> Task:
    """Make the task that asks the questions of one split of FactPix, or of a benchmark with files of that kind."""
    questions = DataFile(f"{name}.json", source)
    return Task(
        title=title,
        folder=folder,
        files=(questions,),
        read=partial(read_facts, questions),
        metric=metric,
        headline="accuracy",
        max_new_tokens=20,  # the longest true answer has 17 of SmolLM2
        knowledge=Knowledge(about, says),
        apart=True,
    )


def own_split(title: str, name: str) -> Task:
    """Make the task that asks the questions of one file of OwnPix: things that no training touches."""
    return split(title, name, folder="ownpix", source=OWN_SOURCE, metric=ownpix.measure)


def read_facts(file: DataFile, folder: Path) -> list[Item]:
    """Read the items, clustered by the class of thing that they ask about.

    Raises:
      SampleError: no such file, or a question without what scoring needs.
    """
    path = file.require(folder)
    items = read_conversations(path, folder)
    return [_with_truth(item, f"{path}, question {item.id}", file.source) for item in items]


def _with_truth(item: Item, place: str, source: str) -> Item:
    meta = item.record.get("meta")
    if not isinstance(meta, Mapping):
        raise SampleError(f"{place} has no meta; build the data again with {source}")
    lacking = [key for key in ("topic", "class", "field", "kind", "answer") if not isinstance(meta.get(key), str)]
    if lacking:
        raise SampleError(f"{place}: its meta has no text under {', '.join(lacking)}")
    if meta["kind"] not in KINDS:
        raise SampleError(f"{place} is of kind {meta['kind']!r}; there are: {', '.join(KINDS)}")
    letters = LETTERS[: len(meta.get("choices") or [])]
    if meta["kind"] == "yesno" and not isinstance(meta.get("value"), str):
        raise SampleError(f"{place} is a yes/no question, but its meta does not have the value that it asks about")
    if meta["kind"] == "choice" and (not meta["answer"] or meta["answer"] not in letters):
        raise SampleError(f"{place}: {meta['answer']!r} is none of its {len(letters)} choices")
    names = ("topic", "field", "kind", "answer", "accept", "choices", "value", "wording", "style", "length")
    truth = {key: meta[key] for key in names if meta.get(key) is not None}
    return replace(item, truth=truth, cluster=f"{meta['topic']}/{meta['class']}")


def facts(sample: Sample) -> Mapping[str, Any]:
    """Return what the sample says of its thing: topic, class, `facts` and `also` (further true values) by field."""
    inner = sample.meta.get("meta")
    return inner if isinstance(inner, Mapping) else sample.meta


def about(sample: Sample) -> str | None:
    """Return the cluster of questions that a sample is about."""
    meta = facts(sample)
    return f"{meta['topic']}/{meta['class']}" if {"topic", "class"} <= meta.keys() else None


def says(item: Item, sample: Sample) -> str | None:
    """Return what a sample's facts answer to a question: the value of the field, its letter, or yes or no.

    A yes/no question is answered with yes if the value that it asks about is one of the field's. Where a sample should
    not have the field and does not, it says that this is not in the samples.
    """
    field = item.truth["field"]
    values = [str(value) for place in ("facts", "also") for value in _listed(facts(sample).get(place), field)]
    if not values:
        return REFUSAL if item.truth["kind"] == UNANSWERABLE else None
    if item.truth["kind"] in ("open", UNANSWERABLE):
        return values[0]
    plain_values = [plain(value) for value in values]
    if item.truth["kind"] == "choice":
        options = zip(LETTERS, map(plain, item.truth["choices"]), strict=False)
        letters = [letter for letter, option in options if option in plain_values]
        return letters[0] if letters else None
    return "yes" if plain(str(item.truth.get("value"))) in plain_values else "no"


def _listed(known: object, field: str) -> list[Any]:
    """Return the values under a field as a list: none, one, or several."""
    value = known.get(field) if isinstance(known, Mapping) else None
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]
