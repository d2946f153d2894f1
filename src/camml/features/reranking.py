"""Samples put into a better order by a model that reads question and text together."""

from collections.abc import Sequence
from dataclasses import replace
from threading import Lock
from typing import Any

from camml import weights
from camml.errors import ModelFolderError, OptionError, first_line
from camml.retriever import Retriever
from camml.types import Context, Query, Where

DEPTH = 20
"""Samples that are found first and then put into order."""
BATCH = 16


class Reranker:
    """Orders samples by a cross-encoder's score of the question with each text.

    Samples whose words say nothing to it, because a question has no words, stay in their order. Scores of samples stay
    those of retrieval.

    Args:
      model, tokenizer: of transformers, for sequence classification; with several classes the last one counts.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self._lock = Lock()  # a tokenizer pads for one caller at a time

    @classmethod
    def load(cls, name: str) -> "Reranker":
        """Return the cross-encoder in a folder, or of that name on the hub.

        Raises:
          UnknownNameError, FetchError: there is none.
          ModelFolderError: the folder holds another kind of model.
        """
        from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

        folder = weights.folder(name)
        try:
            kinds = getattr(AutoConfig.from_pretrained(folder), "architectures", None) or []
            if not any("SequenceClassification" in kind for kind in kinds):
                held = f" (it holds {', '.join(kinds)})" if kinds else ""
                raise ModelFolderError(f"{name} is not a cross-encoder{held}; give a model for sequence classification")
            with weights.without_bars():
                model = AutoModelForSequenceClassification.from_pretrained(folder)
            return cls(model, AutoTokenizer.from_pretrained(folder))
        except (OSError, ValueError, KeyError) as error:
            if isinstance(error, ModelFolderError):
                raise
            raise ModelFolderError(f"{name} cannot be loaded as a cross-encoder: {first_line(error)}") from None

    def ordered(self, queries: Sequence[Query], contexts: Sequence[Context]) -> list[Context]:
        """Return the samples of each query, those first that fit it best."""
        return [self._ordered(query, context) for query, context in zip(queries, contexts, strict=True)]

    def _ordered(self, query: Query, context: Context) -> Context:
        if not query.text.strip() or len(context) < 2:
            return context
        scores = self._scores(query.text, [neighbor.sample.text for neighbor in context])
        order = sorted(range(len(context)), key=lambda place: -scores[place])  # equal ones keep their order
        return tuple(replace(context[place]) for place in order)

    def _scores(self, question: str, texts: Sequence[str]) -> list[float]:
        import torch

        limit = min(self.tokenizer.model_max_length, getattr(self.model.config, "max_position_embeddings", 512))
        if limit < 8:
            raise OptionError("the cross-encoder reads fewer than 8 tokens; give another one")
        scores: list[float] = []
        for start in range(0, len(texts), BATCH):
            some = list(texts[start : start + BATCH])
            with self._lock:
                inputs = self.tokenizer(
                    [question] * len(some),
                    some,
                    padding=True,
                    truncation="longest_first",  # a question may alone be more than the model reads
                    max_length=limit,
                    return_tensors="pt",
                )
            with torch.inference_mode():
                scores += self.model(**inputs).logits[:, -1].tolist()
        return scores


def nearest(
    retriever: Retriever, reranker: Reranker | None, queries: Sequence[Query], k: int, where: Where | None = None
) -> list[Context]:
    """Return the k nearest samples of each query, or of more than these the first k in the cross-encoder's order.

    Raises:
      OptionError: k is below 1, or a query lacks what the mode searches by.
      EmptyStoreError: there are no samples.
    """
    if reranker is None or k < 1:  # a retriever refuses such a k
        return retriever.retrieve(queries, k, where)
    deep = retriever.retrieve(queries, max(k, DEPTH), where)
    return [context[:k] for context in reranker.ordered(queries, deep)]
