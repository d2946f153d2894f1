"""One task with one kind of context: its questions to answers, a portion at a time."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from camml.answering import Decoding, with_passages
from camml.chat_api.reply import TOO_LONG
from camml.errors import FetchError, OptionError
from camml.evaluation.cache import Cache
from camml.evaluation.code import deciding, short
from camml.evaluation.contexts import Variant, altered, answer_without_model
from camml.evaluation.evidence import Evidence
from camml.evaluation.fingerprints import Fingerprints
from camml.evaluation.folder import Portion, Record, RunFolder
from camml.evaluation.measures import Stopwatch
from camml.evaluation.models import BASE_SOURCES, Model, answer_all
from camml.evaluation.shares import Share
from camml.evaluation.task import Item, Task
from camml.evidence import near
from camml.images import open_image
from camml.json_values import digest
from camml.types import Context, Neighbor, Prediction, Query

FIRST = 10
"""So many questions that are too long for an endpoint's model, and none that is not, show that all are."""
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
      passages: how much of long texts is read, see `camml.answering.budget_of`.
      margin: see `camml.evidence.near`.
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
    passages: str = "auto"
    margin: float | None = None

    def fill(
        self,
        folder: RunFolder,
        portions: Sequence[Portion],
        share: Share,
        report: Report,
        earlier: Sequence[Record] = (),
    ) -> None:
        """Answer those portions of this process's share that the folder lacks, or that hold questions without answer.

        Args:
          earlier: records of a complete run, whose answers are not asked for again.
        Raises:
          FetchError: the first questions are all too long for the model behind an endpoint.
        """
        whole = {record["id"]: record for record in earlier}
        first: list[Record] | None = []  # while all of them are too long for the model
        for portion in share.of(portions):
            before = folder.part(portion)
            if before is None or not all(map(has_answer, before)):
                known = whole | {record["id"]: record for record in before or ()}
                known = {name: record for name, record in known.items() if has_answer(record)}
                watch = Stopwatch()
                records = self.answer(portion, watch, known)
                folder.keep_seconds(portion, asdict(watch))
                folder.keep(portion, records)
                first = self._too_long(first, records)
            else:
                first = None
            report(len(portion.items))

    def _too_long(self, first: Sequence[Record] | None, records: Sequence[Record]) -> list[Record] | None:
        """Return the first records as far as all of them are too long for the model; None once one is not.

        Raises:
          FetchError: there are so many that all others must be too long as well.
        """
        if first is None or not all(TOO_LONG in record.get("unanswered", "") for record in records):
            return None
        first = [*first, *records]
        if len(first) >= FIRST:
            name = self.model.identity["name"] if self.model else ""
            raise FetchError(
                f"{self.task.title}: all of the first {len(first)} questions, from {first[0]['id']} on, are too long "
                f"for {name} ({TOO_LONG}); give fewer --shots, a smaller --max-new-tokens, or a model with more room"
            )
        return first

    def answer(self, portion: Portion, watch: Stopwatch, known: Mapping[str, Record] | None = None) -> list[Record]:
        """Return the records of a portion; those that are `known` by their id are not made again."""
        known = known or {}
        items, started = [item for item in portion.items if item.id not in known], time.perf_counter()
        before = self.evidence.searched if self.evidence else 0
        retrieved = self._find(items)
        if self.evidence and self.evidence.searched > before:
            watch.retrieved += self.evidence.searched - before
            watch.retrieving += time.perf_counter() - started
        contexts = self._read(items, [self._given(*pair) for pair in zip(items, retrieved, strict=True)])
        answers: dict[int, dict[str, Any]] = {}
        for rows in self._batches(items, contexts, len(portion.batches[0])):
            batch = [items[row] for row in rows], [contexts[row] for row in rows]
            answers |= zip(rows, self._answers(*batch, watch), strict=True)
        made = {
            item.id: self._record(item, retrieved[row], contexts[row], answers[row]) for row, item in enumerate(items)
        }
        return [known.get(item.id) or made[item.id] for item in portion.items]

    def _batches(self, items: Sequence[Item], contexts: Sequence[Context], size: int) -> list[list[int]]:
        """Return the rows of a portion in batches, those with prompts of like length together.

        What is computed together depends on the portion alone, and little of it is padding.
        """
        rows = list(range(len(items)))
        if self.model is not None:
            answerer = self.model.answerer(self.task)
            rows.sort(key=lambda row: len(answerer.prompt(self._query(items[row]), contexts[row])))
        return [rows[start : start + size] for start in range(0, len(rows), size)]

    def _given(self, item: Item, retrieved: Context) -> Context:
        """Return the samples that come with a question."""
        if self.variant.context == "oracle" and self.evidence and self.task.knowledge:
            retrieved = self.evidence.led_by_right(self.task.knowledge, item, retrieved)
        return altered(self.variant, retrieved, f"{self.seed} {item.id}")

    def _read(self, items: Sequence[Item], contexts: Sequence[Context]) -> Sequence[Context]:
        """Return the samples that are near enough, with the passages that the model has room for."""
        if self.model is None or self.evidence is None:
            return contexts
        queries = [Query(item.text) for item in items]
        contexts = [near(context, self.margin) for context in contexts]
        return with_passages(self.model.answerer(self.task), self.evidence.chooser, queries, contexts, self.passages)

    def _find(self, items: Sequence[Item]) -> list[Context]:
        if self.evidence is None:
            return [()] * len(items)
        return self.evidence.find(self.variant, [self._query(item) for item in items], [item.id for item in items])

    def _query(self, item: Item) -> Query:
        image = open_image(item.image) if isinstance(item.image, bytes) else item.image
        return Query(item.text, image, None if self.keep_duplicates else item.id)

    def _answers(self, items: Sequence[Item], contexts: Sequence[Context], watch: Stopwatch) -> list[dict[str, Any]]:
        """Return the answers to a batch, given anew unless all of it was answered before; an endpoint's one by one."""
        if self.model is not None:
            return self._generated(self.model, items, contexts, watch)
        pairs = zip(items, contexts, strict=True)
        texts = [answer_without_model(self.variant, self.task.knowledge, *pair) for pair in pairs]
        return [_as_fields(Prediction(text)) for text in texts]

    def _generated(
        self, model: Model, items: Sequence[Item], contexts: Sequence[Context], watch: Stopwatch
    ) -> list[dict[str, Any]]:
        answerer = model.answerer(self.task)
        queries = [self._query(item) for item in items]
        rows = zip(items, queries, contexts, strict=True)
        keys = [self._key(model, item, answerer.prompt(query, context), context) for item, query, context in rows]
        known = {row: answer for row, key in enumerate(keys) if (answer := self.cache.get(key)) is not None}
        # what is computed here depends on the batch in its last digits, so that a batch is answered as a whole
        alone = model.use == "api" or len(known) == len(items)
        asked = [row for row in range(len(items)) if row not in known or not alone]
        watch.repeated += sum(keys[row] in self.cache.added for row in range(len(items)) if row not in asked)
        if asked:
            started = time.perf_counter()
            try:
                some = [queries[row] for row in asked], [contexts[row] for row in asked]
                predictions = answer_all(answerer, *some, self.decoding)
            except OptionError as error:
                raise OptionError(f"{self.task.title}, questions {items[0].id} to {items[-1].id}: {error}") from None
            watch.answered += len(asked)
            watch.answering += time.perf_counter() - started
            known |= {row: _as_fields(prediction) for row, prediction in zip(asked, predictions, strict=True)}
            for row in asked:
                if has_answer(known[row]):
                    self.cache.put(keys[row], known[row])
        return [known[row] for row in range(len(items))]

    def _record(self, item: Item, retrieved: Context, context: Context, answer: dict[str, Any]) -> Record:
        """Return a line of the log; the score comes when all are there."""
        image = "(in the question file)" if isinstance(item.image, bytes) else item.image and str(item.image)
        return {
            "id": item.id,
            "question_id": item.question_id,
            "question": item.text,
            "image": image,
            "retrieved": [self._noted(item, neighbor) for neighbor in retrieved],
            "used": [neighbor.sample.id for neighbor in context],
            **answer,
            "truth": item.truth,
            "score": None,
            "code": short(),
        }

    def _noted(self, item: Item, neighbor: Neighbor) -> dict[str, Any]:
        """Return a retrieved sample for the log, and whether it is right where the task can tell."""
        score = None if math.isnan(neighbor.score) else round(neighbor.score, 6)
        noted = {"id": neighbor.sample.id, "score": score}
        knowledge = self.task.knowledge
        return noted | ({"right": knowledge.right(item, neighbor.sample)} if knowledge else {})

    def _key(self, model: Model, item: Item, prompt: str, context: Context) -> str:
        """Hash all that an answer depends on."""
        facts = {
            **deciding(),
            "model": {name: value for name, value in model.identity.items() if name not in ("name", BASE_SOURCES)},
            "decoding": asdict(self.decoding),
            "prompt": prompt,
            "picture": self.fingerprints.picture(item.image),
            "context": self.fingerprints.context(context),
            "store": self.evidence.hash if self.evidence and context else None,
        }
        return digest(facts)


def has_answer(record: Mapping[str, Any]) -> bool:
    """Return whether a record holds an answer; an endpoint may have given none, see `Prediction.unanswered`."""
    return not record.get("unanswered")


def _as_fields(prediction: Prediction) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "prompt": prediction.prompt,
        "prompt_tokens": prediction.prompt_tokens,
        "new_tokens": prediction.new_tokens,
        "answer": prediction.text,
        "notes": list(prediction.notes),
    }
    return fields | ({"unanswered": prediction.unanswered} if prediction.unanswered else {})
