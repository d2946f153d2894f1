"""The model of a run: identified at once, loaded when it is first asked."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from camml.answering import Answerer, Decoding, load
from camml.errors import OptionError
from camml.evaluation.fingerprints import Fingerprints
from camml.evaluation.shares import Share
from camml.evaluation.task import Task
from camml.types import Context, Prediction, Query

SHORTEST = 16
"""Tokens: a model that has no room for so long an answer cannot be asked the question."""


class Model:
    """A model folder and the way to use it.

    Args:
      name: a folder, or a name that `camml fetch` knows.
      use: `perceiver`, `in_prompt`, ...; by default what fits the model.
      prompt_style: of a CaMML model; by default its own, or what the task has for models of that style.
      device, dtype: by default the best there is.

    Raises:
      ModelFolderError: no such model.
      OptionError: a device or number type that is not there.
    """

    def __init__(
        self,
        name: str,
        use: str | None,
        prompt_style: str | None,
        device: str | None,
        dtype: str | None,
        fingerprints: Fingerprints,
        share: Share,
    ) -> None:
        from camml import weights
        from camml.answering._generation import pick_device, pick_dtype
        from camml.model.folder import check_folder

        self.folder = weights.folder(name)
        kind = str(check_folder(self.folder).get("model_type")).lower()
        self.use = use or ("perceiver" if kind == "camml" else "in_prompt")
        if prompt_style and self.use != "perceiver":
            raise OptionError("--prompt-style is for CaMML models; other models have their own chat template")
        place = pick_device(share.device(device))
        self.prompt_style = prompt_style
        self._options: dict[str, Any] = {"device": str(place), "dtype": dtype}
        if prompt_style:
            self._options["prompt_style"] = prompt_style
        self.identity = {
            "name": self.folder.name,
            "hash": fingerprints.folder(self.folder),
            "use": self.use,
            "prompt_style": prompt_style,
            "device": place.type,
            "dtype": str(pick_dtype(dtype, place)).removeprefix("torch."),
        }
        self._loaded: Answerer | None = None

    def answerer(self, task: Task | None) -> Answerer:
        """The model as it is asked the questions of `task`, or as it is asked usually.

        Raises:
          ModelFolderError: the folder does not hold a model for this use.
        """
        if self._loaded is None:
            self._loaded = load(self.use, self.folder, **self._options)
        if self.use == "perceiver" and task and task.prompt_styles and not self.prompt_style:
            from camml.answering.perceiver import PerceiverAnswerer

            assert isinstance(self._loaded, PerceiverAnswerer)
            style = task.prompt_styles.get(self._loaded.processor.prompt_style)
            return self._loaded.in_style(style) if style else self._loaded
        return self._loaded


def answer_all(
    answerer: Answerer, queries: Sequence[Query], contexts: Sequence[Context], decoding: Decoding
) -> list[Prediction]:
    """The answers to a batch; where one has no room for the longest answer, that one's limit is halved, and it says so.

    Sampling is done one question at a time, so that a seed gives the same answers whatever the batch.

    Raises:
      OptionError: a question is too long for the model even so.
    """
    if decoding.temperature == 0:
        try:
            return answerer.answer(queries, contexts, decoding)
        except OptionError:
            if len(queries) == 1 and decoding.max_new_tokens < 2 * SHORTEST:
                raise
    pairs = zip(queries, contexts, strict=True)
    return [_answer_one(answerer, query, context, decoding) for query, context in pairs]


def _answer_one(answerer: Answerer, query: Query, context: Context, decoding: Decoding) -> Prediction:
    limit = decoding.max_new_tokens
    while True:
        try:
            [found] = answerer.answer([query], [context], replace(decoding, max_new_tokens=limit))
        except OptionError:
            if limit < 2 * SHORTEST:
                raise
            limit //= 2
            continue
        if limit < decoding.max_new_tokens:
            found = replace(found, notes=(*found.notes, f"no room for more than {limit} new tokens"))
        return found
