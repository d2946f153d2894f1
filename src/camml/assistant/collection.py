"""An opened datastore, and the model that answers from it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camml import formats
from camml.assistant.answer import Answer, Ready, check_options, query_of
from camml.assistant.threshold import Threshold
from camml.datastore import Datastore
from camml.datastore.table import OnBad
from camml.encoders import Encoder
from camml.errors import OptionError
from camml.features.passages import PassageChooser
from camml.features.reranking import Reranker, nearest
from camml.images import ImageSource
from camml.retriever import Retriever
from camml.types import Context, Query, Sample, Where

if TYPE_CHECKING:
    from camml.answering import Decoding
    from camml.assistant import Assistant


class Collection:
    """An opened datastore, and the model that answers from it.

    Args:
      assistant: the model.
      datastore: opened.
      encoder: what it was built with.
      mode: of retrieval; None for the model's.
      weights: what a picture and words count where both are compared, such as `{"image": 2, "text": 1}`.
      rerank: the name of a cross-encoder that puts what was found into a better order; None leaves it.
      min_score: the cosine that the best sample must have; None for the calibration beside the datastore, if any.
      fallback: what is done where no sample is near enough: `refuse`, or `model` for an answer without samples.
      margin: leave out samples whose pictures are less like the question's than the nearest one's, by more than this
        cosine; None for the model's, infinity to leave out none.

    Raises:
      OptionError: a setting is invalid.

    Example:
      >>> import camml
      >>> store = camml.load("models/camml-mini").index("samples.csv", "store")
      >>> store.add([camml.Sample("fan-3", "The fan needs a belt.")])
      >>> store.search("a belt for the fan", k=1)[0].sample.id
      'fan-3'
    """

    def __init__(
        self,
        assistant: "Assistant",
        datastore: Datastore,
        encoder: Encoder,
        *,
        mode: str | None = None,
        weights: dict[str, float] | None = None,
        rerank: str | None = None,
        min_score: float | None = None,
        fallback: str = "refuse",
        margin: float | None = None,
    ) -> None:
        self.assistant = assistant
        self.datastore = datastore
        self.encoder = encoder
        self.retriever = Retriever(datastore, encoder, mode or assistant.settings.mode, weights=weights)
        self.reranker = None if rerank is None else Reranker.load(rerank)
        margin = assistant.settings.margin if margin is None else margin
        self.threshold = Threshold.of(datastore, min_score, fallback, margin)
        self.chooser = PassageChooser.beside(None if datastore.path is None else str(datastore.path), encoder)

    def __len__(self) -> int:
        return len(self.datastore)

    def add(
        self,
        samples: str | Path | Iterable[Sample],
        *,
        images: str | Path | None = None,
        on_bad: str | OnBad = "stop",
        **options: Any,
    ) -> None:
        """Add samples; the next question can find them, without any training.

        Args:
          samples: a file or folder of samples in any format that `camml store build` takes, or samples.
          images: the folder at which the image paths of a file start; by default its own.
          on_bad: "stop" at a sample that cannot be used, or "skip" it; the log says which. What `Datastore.add` calls
            may be given, too: samples that cannot be read from a file stop it then.
          options: those of `Datastore.add`, such as `batch_size`.

        Raises:
          InputError: a sample cannot be used, or its id is taken.
          OptionError: no such `on_bad`.
        """
        leave_out = on_bad if callable(on_bad) else formats.on_bad_sample(on_bad)
        if isinstance(samples, str | Path):
            samples = formats.read(samples, images=images, on_bad="stop" if callable(on_bad) else on_bad)
        self.datastore.add(samples, on_bad=leave_out, **options)

    def search(
        self, question: str = "", image: ImageSource | None = None, k: int = 4, where: Where | None = None
    ) -> Context:
        """Return the nearest samples, nearest first."""
        [context] = self.find([query_of(question, image)], k, where)
        return context

    def ask(self, question: str, image: ImageSource | None = None, **options: Any) -> Answer:
        """Return an answer from the samples that are nearest; `options` are those of `ask_all`."""
        [answer] = self.ask_all([query_of(question, image)], **options)
        return answer

    def ask_all(
        self,
        queries: Sequence[Query],
        *,
        shots: int | None = None,
        where: Where | None = None,
        passages: str | None = None,
        decoding: "Decoding | None" = None,
    ) -> list[Answer]:
        """Return an answer to each question.

        Args:
          shots: samples to answer from, at most; None for the model's.
          where: which samples may be retrieved.
          passages: see `camml.answering.budget_of`; None for the model's.

        Raises:
          OptionError: a setting is invalid, or a question is too long.
          EmptyStoreError: there are no samples.
        """
        if shots is not None and shots < 1:
            raise OptionError(f"shots is {shots}; give 1 or more")
        check_options(where, decoding)
        contexts = self.find(queries, shots or self.assistant.shots, where)
        return self.assistant.answer(self.ready(queries, contexts, passages), decoding)

    def ready(self, queries: Sequence[Query], contexts: Sequence[Context], passages: str | None = None) -> list[Ready]:
        """Return questions with what was found for them, as the model reads it, or why it is not asked.

        Raises:
          OptionError: `passages` is invalid.
        """
        weak = [self.threshold.weakness(context) for context in contexts]
        alone = self.threshold.fallback == "model"
        asked = [place for place, why in enumerate(weak) if alone or not why]
        read = [() if weak[place] else self.threshold.near(contexts[place]) for place in asked]
        made = self.assistant.ready([queries[place] for place in asked], read, self.chooser, passages)
        known = dict(zip(asked, made, strict=True))
        ready = []
        for place, (query, context, why) in enumerate(zip(queries, contexts, weak, strict=True)):
            if place not in known:
                ready.append(Ready(query, context, refusal=why))
            elif why:
                notes = (*known[place].notes, f"answered without samples: {why}")
                ready.append(replace(known[place], notes=notes))
            else:
                ready.append(known[place])
        return ready

    def find(self, queries: Sequence[Query], k: int, where: Where | None = None) -> list[Context]:
        """Return the nearest samples of each query, in the order of the cross-encoder if there is one.

        Raises:
          OptionError: k is below 1, `where` is of another type, or a query lacks what the mode searches by.
          EmptyStoreError: there are no samples.
        """
        check_options(where)
        return nearest(self.retriever, self.reranker, queries, k, where)
