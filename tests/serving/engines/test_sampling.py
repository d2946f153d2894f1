"""Ways to choose tokens that clients ask for, on both kinds of model: batched, and one request at a time."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from camml.answering import Decoding
from camml.answering._grounding import PLAIN
from camml.errors import OptionError
from camml.serving import engines
from camml.serving.engines import Piece, Request, Sampling
from camml.serving.engines._formats import COUNTS, FORMATS, LONGEST_SCHEMA, check_counts, noted, schema_of
from camml.serving.engines._sampler import Sampler
from camml.types import Context, Neighbor, Query, Sample

NOTHING = torch.empty(0, dtype=torch.long)


def sampler(sampling: Sampling, temperature: float = 0.0) -> Sampler:
    return Sampler(Decoding(1, temperature, seed=0), 0, torch.device("cpu"), NOTHING, 1.0, sampling)


class TestChoice:
    LOGITS = torch.tensor([5.0, 4.9, 4.0, -3.0])

    def test_penalties_count_what_was_said(self) -> None:
        assert sampler(Sampling(frequency_penalty=0.2)).choose(self.LOGITS, [0]) == 1
        assert sampler(Sampling(frequency_penalty=0.2)).choose(self.LOGITS, [0, 1, 1]) == 0
        assert sampler(Sampling(presence_penalty=0.5)).choose(self.LOGITS, [0, 0, 0, 1]) == 0
        assert sampler(Sampling(presence_penalty=1.5)).choose(self.LOGITS, [0, 1]) == 2
        assert sampler(Sampling(repetition_penalty=2.0)).choose(self.LOGITS, [0]) == 1
        assert sampler(Sampling(presence_penalty=1.5)).choose(self.LOGITS, []) == 0

    @pytest.mark.parametrize(
        ("sampling", "possible"),
        [(Sampling(top_k=1), {0}), (Sampling(top_k=2), {0, 1}), (Sampling(min_p=0.5), {0, 1}), (Sampling(), {0, 1, 2})],
    )
    def test_of_the_likeliest(self, sampling: Sampling, possible: set[int]) -> None:
        drawing = sampler(sampling, temperature=1.0)
        assert {drawing.choose(self.LOGITS, []) for _ in range(200)} == possible

    def test_only_nothing_is_plain(self) -> None:
        assert sampler(Sampling()).plain
        for other in (Sampling(presence_penalty=1), Sampling(logprobs=0), Sampling(repetition_penalty=1.1)):
            assert not sampler(other).plain


@pytest.fixture(scope="module", params=["batched", "one by one"])
def engine(request: pytest.FixtureRequest, camml_folder: Path, vlm_folder: Path) -> Iterator[Any]:
    loaded = engines.load("transformers", camml_folder if request.param == "batched" else vlm_folder)
    yield loaded
    asyncio.run(loaded.close())


def answer(
    engine: Any, sampling: Sampling, tokens: int = 24, context: Context = (), **more: Any
) -> tuple[str, list[Piece]]:
    async def ask() -> list[Piece]:
        request = Request(Query("what is red"), context, Decoding(tokens, **more), sampling=sampling)
        return [piece async for piece in engine.generate(await engine.prepare(request))]

    pieces = asyncio.run(ask())
    return "".join(piece.text for piece in pieces), pieces


SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "blue"]}, "sure": {"type": "boolean"}},
    "required": ["colour", "sure"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("seed", range(3))
def test_an_answer_keeps_to_its_schema_whatever_the_model_would_say(engine: Any, seed: int) -> None:
    text, pieces = answer(engine, Sampling(schema=json.dumps(SCHEMA)), 64, temperature=1.5, seed=seed)
    document = json.loads(text)
    assert set(document) == {"colour", "sure"}
    assert document["colour"] in ("red", "blue")
    assert pieces[-1].finish_reason == "stop"


def test_answers_are_held_to_words_of_their_samples(engine: Any) -> None:
    context = (Neighbor(Sample("a", "Locker W-86 / Register entry: 99/334U"), 1.0),)
    free, _ = answer(engine, Sampling(), context=context)
    assert free not in context[0].sample.text
    for sampling in (Sampling(), Sampling(logprobs=1)):
        held, pieces = answer(engine, sampling, context=context, grounded=True)
        assert held in context[0].sample.text or held in PLAIN or held in "what is red"
        assert held
        assert pieces[-1].finish_reason == "stop"


def test_a_wrong_schema_is_refused_before_anything_is_generated(engine: Any) -> None:
    for schema in (
        '{"type": "nothing"}',
        '{"minimum": "x"}',
        '{"$ref": "http://elsewhere"}',
        "[",
        " " * LONGEST_SCHEMA + "{}",
    ):
        with pytest.raises(OptionError, match="schema"):
            answer(engine, Sampling(schema=schema))


@pytest.mark.parametrize("form", [*sorted(FORMATS), "path", "password", "binary", "uri-reference", "regex"])
def test_a_format_that_nothing_is_held_to_is_a_note(engine: Any, form: str) -> None:
    engine._front._formats.form(json.dumps({"type": "object", "properties": {"a": {"type": "string", "format": form}}}))


def test_formats_in_what_is_no_schema_stay() -> None:
    schema = {"properties": {"format": {"type": "string", "format": "date"}, "b": {"const": {"format": "path"}}}}
    assert json.loads(noted(json.dumps(schema))) == schema


@pytest.mark.parametrize("name", COUNTS)
def test_a_schema_does_not_count_for_ever(engine: Any, name: str) -> None:
    with pytest.raises(OptionError, match=f"{name} is 1e\\+09; at most 1000"):
        answer(engine, Sampling(schema=json.dumps({"anyOf": [{"type": "null"}, {name: 10**9}]})))


def test_probabilities_come_with_the_tokens(engine: Any) -> None:
    text, pieces = answer(engine, Sampling(logprobs=2), 6)
    told = [entry for piece in pieces for entry in piece.logprobs]
    assert len(told) == pieces[-1].new_tokens
    for entry in told:
        assert entry.logprob <= 0
        assert (entry.token, entry.logprob) == entry.top[0], "the likeliest was taken"
        assert entry.top[0][1] >= entry.top[1][1]
    assert answer(engine, Sampling(), 6)[0] == text


def test_penalties_change_what_is_said(engine: Any) -> None:
    plain, _ = answer(engine, Sampling(), 30)
    other, _ = answer(engine, Sampling(frequency_penalty=2.0, presence_penalty=2.0), 30)
    assert plain != other


def test_forms_that_openai_has() -> None:
    assert schema_of({"type": "text"}) == ""
    assert json.loads(schema_of({"type": "json_object"})) == {"type": "object"}
    assert json.loads(schema_of({"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}})) == SCHEMA
    assert json.loads(schema_of({"type": "json_schema", "name": "a", "schema": SCHEMA})) == SCHEMA
    for wrong in ({}, {"type": "xml"}, {"type": "json_schema"}, {"type": "json_schema", "json_schema": {"schema": 3}}):
        with pytest.raises(OptionError, match="response_format can be"):
            schema_of(wrong)


def test_a_count_beyond_all_numbers_is_refused() -> None:
    with pytest.raises(OptionError, match="minItems is inf; at most 1000"):
        check_counts(json.dumps({"minItems": 10**400}))
