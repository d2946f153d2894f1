"""A model that `lmms-eval` can ask, so that its tasks are open to CaMML; only that package imports this file."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from lmms_eval.api.model import lmms
from PIL import Image

from camml.answering import Decoding
from camml.errors import OptionError
from camml.evaluation.fingerprints import Fingerprints
from camml.evaluation.models import Model, answer_all
from camml.evaluation.retrieval import retriever_of
from camml.evaluation.shares import Share
from camml.types import Context, Query

IDS = ("question_id", "questionId", "id")
"""Fields in which tasks keep the id of a question."""


class CamMLModel(lmms):  # type: ignore[misc]
    """Retrieves for each request, and answers.

    Args:
      pretrained: a model's folder or name.
      store, shots: a datastore, and how many samples are given; none without a store.
      mode, keep_duplicates: how they are found, as of `camml eval run`.
      store_images: where its pictures are, if not where it says.
      use, prompt_style, device, dtype: as of `camml eval run`.
      batch_size: requests answered together.
    """

    def __init__(
        self,
        pretrained: str,
        store: str | None = None,
        shots: int = 3,
        mode: str | None = None,
        keep_duplicates: bool = False,
        use: str | None = None,
        prompt_style: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        batch_size: int | str = 1,
        store_images: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        share = Share.of_environment()
        self._rank, self._world_size = share.rank, share.world
        self.batch_size_per_gpu = int(batch_size)
        self.shots = shots
        self.model = Model(pretrained, use, prompt_style, device, dtype, Fingerprints(), share)
        self.keep_duplicates = bool(keep_duplicates)
        self.retriever = None
        if store and shots:
            from camml.datastore import open_store

            self.model.check_store(store, None)
            mode = mode or self.model.mode
            self.retriever = retriever_of(*open_store(store, images=store_images), mode, self.keep_duplicates)

    @property
    def batch_size(self) -> int:
        """Requests answered together."""
        return self.batch_size_per_gpu

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answer the requests, in their order; those with the same decoding are answered together."""
        asked = [_Request(self.task_dict, request, self.keep_duplicates) for request in requests]
        answers: dict[int, str] = {}
        for decoding in dict.fromkeys(request.decoding for request in asked):
            places = [place for place, request in enumerate(asked) if request.decoding == decoding]
            for start in range(0, len(places), self.batch_size):
                batch = places[start : start + self.batch_size]
                texts = self._answers([asked[place] for place in batch], decoding)
                answers |= dict(zip(batch, texts, strict=True))
        return [answers[place] for place in range(len(asked))]

    def _answers(self, asked: Sequence["_Request"], decoding: Decoding) -> list[str]:
        queries = [request.query for request in asked]
        contexts: list[Context] = [()] * len(queries)
        if self.retriever:
            contexts = self.retriever.retrieve(queries, self.shots)
        predictions = answer_all(self.model.answerer(None), queries, contexts, decoding)
        return [request.stop(prediction.text) for request, prediction in zip(asked, predictions, strict=True)]

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Refuse: this model is not made for it.

        Raises:
          OptionError: always.
        """
        raise OptionError("a CaMML model generates answers; choose tasks of the output type generate_until")

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Refuse: this model is not made for it.

        Raises:
          OptionError: always.
        """
        raise OptionError("a CaMML model answers single questions; choose tasks of the output type generate_until")


class _Request:
    """A request of lmms-eval as a query, its decoding, and where its answer ends."""

    def __init__(self, documents: Any, request: Any, keep_duplicates: bool) -> None:
        text, options, visuals_of, number, task, split = request.args
        document = documents[task][split][number]
        visuals = visuals_of(document) or []
        images = [visual for visual in _flat(visuals) if isinstance(visual, Image.Image)]
        if len(images) > 1 or len(images) != len(list(_flat(visuals))):
            raise OptionError(f"task {task}, document {number}: a CaMML question has at most one image, and no video")
        name = None if keep_duplicates else _id(document, f"{task}/{split}/{number}")
        self.query = Query(text.replace("<image>", "").strip(), images[0].convert("RGB") if images else None, name)
        until = options.get("until") or []
        self.until = [until] if isinstance(until, str) else list(until)
        warm = float(options.get("temperature") or 0) if options.get("do_sample", True) else 0.0
        limit = int(options.get("max_new_tokens") or 128)
        self.decoding = Decoding(limit, warm, float(options.get("top_p") or 1.0), 0 if warm else None)

    def stop(self, text: str) -> str:
        """Cut the answer at the first of the texts that end it."""
        for end in self.until:
            text = text.split(end)[0] if end else text
        return text.strip()


def _id(document: Any, place: str) -> str:
    """Return the id of a question, or its place where the task gives it none: it never retrieves its own sample."""
    own = next((document[key] for key in IDS if isinstance(document, Mapping) and document.get(key) is not None), place)
    return str(own)


def _flat(visuals: Any) -> chain[Any]:
    """Yield the entries of a list that may hold lists."""
    return chain.from_iterable(visual if isinstance(visual, list) else [visual] for visual in visuals)
