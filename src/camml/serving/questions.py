"""A request of a client as the service takes it: its pictures opened, its wishes checked."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from PIL import Image

from camml.answering import Decoding
from camml.errors import OptionError, SampleError
from camml.prompts import Turn
from camml.searches import MODES
from camml.serving.conversation import Conversation, ConversationTurn
from camml.serving.engines import Sampling
from camml.serving.engines._formats import schema_of
from camml.serving.problems import ApiError
from camml.serving.service import Question, Service
from camml.serving.tools import Tools, tools_of
from camml.serving.wire import ChatBody
from camml.types import Context, Neighbor, Query, Sample

COLDEST = 1e-3
"""A temperature or share of probability below this is greedy decoding, without numbers too large to compute with."""


def check(service: Service, body: ChatBody) -> None:
    """Raise an ApiError for what this server does not do."""
    if not service.settings.answers_to(body.model):
        name = service.settings.served_name
        raise ApiError(404, f"no model {body.model!r} here; there is: {name}", "model_not_found", "model")
    if (unsupported := body.unsupported()) is not None:
        instead = "; give tools" if unsupported.startswith("function") else ""
        raise ApiError(400, f"this server has no {unsupported!r}{instead}", "unsupported_parameter", unsupported)
    if tools_of(body) is not None and service.engine.calls is None:
        reason = (
            f"the chat template of {service.settings.served_name} knows no tools, or calls of a form that is not read "
            "here, so it cannot call any; for an answer in a form of yours give response_format"
        )
        raise ApiError(400, reason, "unsupported_parameter", "tools")
    if body.top_logprobs and not body.logprobs:
        raise ApiError(
            400, "top_logprobs is for logprobs: true; give both, or neither", "invalid_value", "top_logprobs"
        )
    if (body.n or 1) > service.engine.slots:
        raise ApiError(400, f"n may be at most {service.engine.slots} here", "invalid_value", "n")
    if (store := store_of(service, body)) is not None:  # also where nothing will be searched
        service.shelf(store).check(body.search())
    if body.mode is not None and body.mode not in MODES:
        known = ", ".join(MODES)
        raise ApiError(400, f"retrieval mode {body.mode!r} is unknown; there are: {known}", "invalid_value", "mode")


def store_of(service: Service, body: ChatBody) -> str | None:
    """Return the datastore that a request is about."""
    return body.store if isinstance(body.store, str) else service.default_store


def addresses(body: ChatBody, conversation: Conversation) -> list[str]:
    """Return the addresses of all pictures that are needed."""
    given = [sample.image_url for sample in body.samples or [] if sample.image_url is not None]
    return [*conversation.pictures, *given]


def question_of(
    service: Service, body: ChatBody, conversation: Conversation, data: Mapping[str, bytes], folder: Path, name: str
) -> Question:
    """Return what is asked, with its pictures opened; given ones are kept in `folder`. Blocks.

    Args:
      data: the pictures' bytes by their addresses.
      name: of the request, for the log.
    """
    pictures = {url: service.pictures.decode(data[url]) for url in dict.fromkeys(conversation.pictures)}
    *history, last = [_turn(service, turn, pictures) for turn in conversation.turns]
    newest = None if conversation.picture is None else pictures[conversation.picture]
    longest = body.max_completion_tokens or body.max_tokens
    tools = tools_of(body)
    return Question(
        Query(conversation.turns[-1].question, newest), _decoding(service, body), tuple(history), conversation.system,
        store_of(service, body), body.shots, body.search(),
        None if body.samples is None else _given(service, body, data, folder),
        body.stops(), body.n or 1, longest is None, name, conversation.notes, _sampling(body, tools), last, tools,
    )  # fmt: skip


def _decoding(service: Service, body: ChatBody) -> Decoding:
    temperature, top_p = body.temperature or 0.0, 1.0 if body.top_p is None else body.top_p
    greedy = temperature < COLDEST or top_p < COLDEST
    return Decoding(
        body.max_completion_tokens or body.max_tokens or service.settings.max_new_tokens,
        0.0 if greedy else temperature,
        1.0 if greedy else top_p,
        body.seed,
        service.settings.grounded,
    )


def _sampling(body: ChatBody, tools: Tools | None) -> Sampling:
    try:
        schema = schema_of(body.response_format) if body.response_format is not None else ""
    except OptionError as error:
        raise ApiError(400, str(error), "invalid_value", "response_format") from None
    return Sampling(
        body.frequency_penalty or 0.0,
        body.presence_penalty or 0.0,
        body.repetition_penalty,
        max(0, body.top_k or 0),
        body.min_p or 0.0,
        (body.top_logprobs or 0) if body.logprobs else None,
        tools.schema if tools is not None and tools.schema else schema,
    )


def _turn(service: Service, turn: ConversationTurn, pictures: Mapping[str, Image.Image]) -> Turn:
    """Return a turn as the model takes it, with its pictures where the model looks at more than one."""
    shown = turn.pictures if service.engine.most_pictures is None else ()
    return Turn(turn.question, turn.answer, tuple(pictures[url] for url in shown), tuple(turn.steps))


def _given(service: Service, body: ChatBody, data: Mapping[str, bytes], folder: Path) -> Context:
    """Return the samples that came with the request, and those it names by their ids."""
    samples: list[Sample] = []
    for number, sample in enumerate(body.samples or ()):
        if sample.id is not None and sample.text is None and sample.image_url is None:
            samples += service.shelf(store_of(service, body)).samples([sample.id])
        elif sample.image_url is None and not (sample.text or "").strip():
            raise SampleError(f"samples[{number}] has no text, no image_url and no id")
        else:
            samples.append(Sample(sample.id or f"given-{number}", sample.text or ""))
            if sample.image_url is not None:
                file = folder / f"{number}.png"
                service.pictures.decode(data[sample.image_url]).save(file, compress_level=1)
                samples[-1] = replace(samples[-1], image=file)
    return tuple(Neighbor(sample, math.nan) for sample in samples)
