"""The model of a run: identified at once, loaded when it is first asked."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from camml import assistant
from camml.answering import Answerer, Decoding, load
from camml.assistant import Assistant
from camml.errors import OptionError, UnknownNameError
from camml.evaluation.fingerprints import Fingerprints
from camml.evaluation.shares import Share
from camml.evaluation.task import Task
from camml.features.samples import folder_of
from camml.json_values import digest
from camml.prompts import paste
from camml.types import Context, Prediction, Query

BASE_SOURCES = "base_sources"
"""In words where the weights below a packed model or a LoRA run came from; what they are, their hashes say."""
PINS = "base_sha256"
"""The key of a packed model under which it has the hash of each base, where it pins them."""
SHORTEST = 16
"""Tokens: a model that has no room for so long an answer cannot be asked the question."""


class Model:
    """A model folder and the way to use it, or a model behind an endpoint.

    Args:
      name: a folder, or a name that `camml fetch` knows; with `api` the model's name at the endpoint.
      use: `perceiver`, `interleaved`, `in_prompt`, `api`; by default what fits the model.
      prompt_style: of a CaMML model, by default its own or what the task has for models of that style; of the others
        one of `camml.prompts.PASTES`.
      device, dtype: by default the best there is.
      base_url: of the endpoint, by default $OPENAI_BASE_URL.

    Raises:
      ModelFolderError: no such model.
      UnknownNameError: no such use or prompt style.
      OptionError: a device or number type that is not there, or an endpoint without address or key.
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
        base_url: str | None = None,
    ) -> None:
        self.prompt_style = prompt_style
        self.assistant: Assistant | None = None
        self._endpoint_model: Answerer | None = None
        if base_url and use != "api":
            raise OptionError("--base-url is for `--use api`; other models run here")
        if use == "api":
            self.use, self._place = use, name
            self._options: dict[str, Any] = {"base_url": base_url}
            facts: dict[str, Any] = {
                "name": name,
                "hash": digest([name, self._endpoint(base_url)]),
                "device": "endpoint",
            }
        else:
            facts = self._local(name, use, device, dtype, fingerprints, share)
        if prompt_style:
            self._options["prompt_style"] = prompt_style
            if self.use != "perceiver":
                paste("", [], prompt_style)
        self.identity = facts | {"use": self.use, "prompt_style": prompt_style}

    def _endpoint(self, base_url: str | None) -> str:
        from camml.chat_api import ChatApi

        return ChatApi.of_environment("", base_url).base_url

    def _local(
        self,
        name: str,
        use: str | None,
        device: str | None,
        dtype: str | None,
        fingerprints: Fingerprints,
        share: Share,
    ) -> dict[str, Any]:
        """Return what identifies a model that runs here, without loading it."""
        from camml.devices import choose_device, choose_dtype

        place = choose_device(share.device(device))
        try:
            self.assistant = assistant.load(name, use, device=str(place), dtype=dtype)
        except UnknownNameError as error:
            raise UnknownNameError(f"{error}; a model behind an endpoint is asked with --use api") from None
        folder, self.use, self._options = self.assistant.folder, self.assistant.use, self.assistant.options
        return {
            "name": folder.name,
            "hash": fingerprints.folder(folder),
            **_bases(folder),
            "device": place.type,
            "dtype": str(choose_dtype(dtype, place)).removeprefix("torch."),
        }

    def keep_samples(self, store: str | None) -> None:
        """Use the cache beside a datastore, where there is one and the model is one that has something to keep."""
        if self.use == "perceiver":
            self._options["cache"] = folder_of(store)

    def answerer(self, task: Task | None) -> Answerer:
        """Return the model with the settings of `task`, or with its usual ones.

        Raises:
          ModelFolderError: the folder does not hold a model for this use.
        """
        if self.assistant is None:
            self._endpoint_model = self._endpoint_model or load(self.use, self._place, **self._options)
            return self._endpoint_model
        loaded = self.assistant.answerer
        if self.use == "perceiver" and task and task.prompt_styles and not self.prompt_style:
            from camml.answering.perceiver import PerceiverAnswerer

            assert isinstance(loaded, PerceiverAnswerer)
            style = task.prompt_styles.get(loaded.processor.prompt_style)
            return loaded.in_style(style) if style else loaded
        return loaded

    def check_store(self, store: str, encoder: str | None) -> None:
        """Raise an EncoderMismatchError if a datastore does not fit the model and no encoder was named for it."""
        if self.assistant is not None and encoder is None:
            self.assistant.check(store)

    @property
    def mode(self) -> str | None:
        """The mode of retrieval that the model wants, where it says so."""
        settings = self.assistant.settings if self.assistant else None
        return settings.mode if settings and settings.stated else None

    @property
    def passages(self) -> str:
        """The setting of passages that the model wants, see `camml.answering.budget_of`."""
        return self.assistant.settings.passages if self.assistant else "auto"

    @property
    def margin(self) -> float | None:
        """The margin of samples that the model wants, see `camml.evidence.near`."""
        return self.assistant.settings.margin if self.assistant else None


def model_name(model: str) -> str:
    """Return the last part of a model's name or folder, also of a folder that is given as `.` or `..`.

    Example:
      >>> model_name("checkpoints/camml-7b/.."), model_name("owner/model")
      ('checkpoints', 'model')
    """
    return Path(os.path.abspath(Path(model).expanduser())).name


def _bases(folder: Path) -> dict[str, Any]:
    """Return the hashes and sources of the weights below a packed model or a LoRA run; nothing for a whole model.

    Raises:
      ModelFolderError, UnknownNameError, FetchError: they are not there, or of a packed model not those it pins.
    """
    from camml import weights

    bases = {part: weights.base(str(place)) for part, place in _places_of_bases(folder).items()}
    sources = {part: ", ".join(filter(None, (base.source, base.precision))) for part, base in bases.items()}
    return {"bases": {part: base.sha256 for part, base in bases.items()}, BASE_SOURCES: sources} if bases else {}


def _places_of_bases(folder: Path) -> dict[str, Path]:
    from camml import weights
    from camml.model import lora
    from camml.model.folder import PACKED, is_packed

    if not is_packed(folder):
        return lora.bases(folder) if lora.is_run(folder) else {}
    try:
        about = json.loads((folder / PACKED).read_text("utf-8"))
    except (OSError, ValueError):
        return {}  # loading refuses it
    named = {part: str(about[part]) for part in ("language_model", "vision_tower") if part in about}
    pins = about.get(PINS) if isinstance(about.get(PINS), dict) else {}
    return {part: weights.pinned(name, str(pins[part])) if part in pins else weights.folder(name)
            for part, name in named.items()}  # fmt: skip


def answer_all(
    answerer: Answerer, queries: Sequence[Query], contexts: Sequence[Context], decoding: Decoding
) -> list[Prediction]:
    """Answer a batch; where there is no room for the longest answer, halve that limit and log it.

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
            [prediction] = answerer.answer([query], [context], replace(decoding, max_new_tokens=limit))
        except OptionError:
            if limit < 2 * SHORTEST:
                raise
            limit //= 2
            continue
        if limit < decoding.max_new_tokens:
            prediction = replace(prediction, notes=(*prediction.notes, f"no room for more than {limit} new tokens"))
        return prediction
