"""One task with one kind of context: its questions to answers, a portion at a time."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from camml import __version__
from camml.answering import Decoding
from camml.errors import OptionError
from camml.evaluation.cache import Cache
from camml.evaluation.contexts import Evidence, Variant, altered, copied_answer
from camml.evaluation.fingerprints import Fingerprints, digest
from camml.evaluation.folder import Portion, Record, RunFolder
from camml.evaluation.models import Model, answer_all
from camml.evaluation.shares import Share
from camml.evaluation.task import Item, Task
from camml.images import open_image
from camml.types import Context, Prediction, Query

Report = Callable[[int], None]
"""Called with the number of questions that are newly answered."""


@dataclass(frozen=True, slots=True)
class Predictor:
    """Answers the questions of a task.

    Attributes:
      model: None where the nearest answers are copied.
      evidence: None where there are no samples.
      seed: of the order of shuffled samples.
      keep_duplicates: samples that are the question itself, or nearly, may be retrieved as others are.
    """

    task: Task
    variant: Variant
    decoding: Decoding
    model: Model | None
    evidence: Evidence | None
    cache: Cache
    fingerprints: Fingerprints
    seed: int = 0
    keep_duplicates: bool = False

    def fill(self, folder: RunFolder, portions: Sequence[Portion], share: Share, report: Report) -> None:
        """Answer those portions of this process's share that the folder lacks."""
        for portion in share.of(portions):
            if folder.part(portion) is None:
                folder.keep(portion, self.answer(portion))
            report(len(portion.items))

    def answer(self, portion: Portion) -> list[Record]:
        """The records of a portion."""
        found = self._find(portion.items)
        records: list[Record] = []
        for batch in portion.batches:
            its_contexts = found[len(records) : len(records) + len(batch)]
            records += self._answer_batch(batch, its_contexts)
        return records

    def _find(self, items: Sequence[Item]) -> list[Context]:
        if self.evidence is None:
            return [()] * len(items)
        return self.evidence.find(self.variant, [self._query(item) for item in items])

    def _query(self, item: Item) -> Query:
        image = open_image(item.image) if isinstance(item.image, bytes) else item.image
        return Query(item.text, image, None if self.keep_duplicates else item.id)

    def _answer_batch(self, items: Sequence[Item], found: Sequence[Context]) -> list[Record]:
        """The records of a batch, answered anew unless all of it was answered before."""
        contexts = [
            altered(self.variant, context, f"{self.seed} {item.id}") for item, context in zip(items, found, strict=True)
        ]
        if self.model is None:
            answers = [_as_fields(_copy(context)) for context in contexts]
        else:
            answers = self._generated(self.model, items, contexts)
        rows = zip(items, found, contexts, answers, strict=True)
        return [_record(item, retrieved, context, answer) for item, retrieved, context, answer in rows]

    def _generated(self, model: Model, items: Sequence[Item], contexts: Sequence[Context]) -> list[dict[str, Any]]:
        answerer = model.answerer(self.task)
        queries = [self._query(item) for item in items]
        rows = zip(items, queries, contexts, strict=True)
        keys = [self._key(model, item, answerer.prompt(query, context), context) for item, query, context in rows]
        known = [self.cache.get(key) for key in keys]
        answers = [answer for answer in known if answer is not None]
        if len(answers) == len(items):
            return answers
        try:
            predictions = answer_all(answerer, queries, contexts, self.decoding)
        except OptionError as error:
            raise OptionError(f"{self.task.title}, questions {items[0].id} to {items[-1].id}: {error}") from None
        answers = [_as_fields(prediction) for prediction in predictions]
        for key, answer in zip(keys, answers, strict=True):
            self.cache.put(key, answer)
        return answers

    def _key(self, model: Model, item: Item, prompt: str, context: Context) -> str:
        """All that an answer depends on."""
        facts = {
            "camml": __version__,
            "model": {name: value for name, value in model.identity.items() if name != "name"},
            "decoding": asdict(self.decoding),
            "prompt": prompt,
            "picture": self.fingerprints.picture(item.image),
            "context": self.fingerprints.context(context),
            "store": self.evidence.hash if self.evidence and context else None,
        }
        return digest(facts)


def _copy(context: Context) -> Prediction:
    return Prediction(copied_answer(context[0].sample) if context else "")


def _as_fields(prediction: Prediction) -> dict[str, Any]:
    return {
        "prompt": prediction.prompt,
        "prompt_tokens": prediction.prompt_tokens,
        "new_tokens": prediction.new_tokens,
        "answer": prediction.text,
        "notes": list(prediction.notes),
    }


def _record(item: Item, found: Context, context: Context, answer: dict[str, Any]) -> Record:
    """A line of the log; the score comes when all are there."""
    image = "(in the question file)" if isinstance(item.image, bytes) else item.image and str(item.image)
    retrieved = [
        {"id": one.sample.id, "score": None if math.isnan(one.score) else round(one.score, 6)} for one in found
    ]
    return {
        "id": item.id,
        "question_id": item.question_id,
        "question": item.text,
        "image": image,
        "retrieved": retrieved,
        "used": [neighbor.sample.id for neighbor in context],
        **answer,
        "truth": item.truth,
        "score": None,
    }
