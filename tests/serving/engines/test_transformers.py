"""The transformers engine: many at a time, each answered as if it were alone."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from camml import answering
from camml.answering import Decoding
from camml.errors import CaMMLError, OptionError
from camml.prompts import Turn
from camml.serving import engines
from camml.serving.engines import Engine, Piece, Request, Sampling
from camml.serving.engines._answer import AnswerText
from camml.serving.engines._sampler import Sampler
from camml.types import Neighbor, Query
from tests import tiny


async def answer(engine: Engine, request: Request) -> tuple[list[str], list[Piece]]:
    """The answers, and the last piece of each."""
    prepared = await engine.prepare(request)
    texts, last = [""] * request.n, [Piece("")] * request.n
    async for piece in engine.generate(prepared):
        assert last[piece.index].finish_reason is None, "nothing comes after the end"
        assert piece.text or piece.finish_reason
        texts[piece.index] += piece.text
        last[piece.index] = piece
    return texts, last


def answers(engine: Engine, requests: Sequence[Request], pause: float = 0.0) -> list[tuple[list[str], list[Piece]]]:
    """All of them at once, or one after the other has begun."""

    async def later(number: int, request: Request) -> tuple[list[str], list[Piece]]:
        await asyncio.sleep(number * pause)
        return await answer(engine, request)

    async def together() -> list[tuple[list[str], list[Piece]]]:
        return await asyncio.gather(*(later(*request) for request in enumerate(requests)))

    return asyncio.run(together())


@pytest.fixture(scope="module")
def requests(tmp_path_factory: pytest.TempPathFactory) -> list[Request]:
    """Twelve, with and without picture, with zero to four samples, of many lengths."""
    samples = tiny.samples(tmp_path_factory.mktemp("pictures"))
    return [
        Request(
            Query("what is number " + "very " * (number % 7) + str(number), samples[0].image if number % 2 else None),
            tuple(Neighbor(sample, 1.0) for sample in samples[: number % 5]),
            Decoding(2 + 2 * number),
        )
        for number in range(12)
    ]


@pytest.mark.long
@pytest.mark.parametrize("kind", ["perceiver", "in_prompt"])
@pytest.mark.parametrize(
    "options", [{}, {"cache": "static", "slots": 3}, {"prefill_tokens": 7, "chunk_tokens": 3, "slots": 5}], ids=str
)
def test_every_answer_is_that_of_the_request_alone(
    camml_folder: Path, llm_folder: Path, requests: list[Request], kind: str, options: dict[str, Any]
) -> None:
    folder = camml_folder if kind == "perceiver" else llm_folder
    if kind == "in_prompt":
        requests = [Request(Query(r.query.text), r.context, r.decoding) for r in requests]
    alone = answering.load(kind, folder)
    engine = engines.load("transformers", folder, **options)
    result = answers(engine, requests, pause=0.01)
    for request, ([text], [last]) in zip(requests, result, strict=True):
        [expected] = alone.answer([request.query], [request.context], request.decoding)
        assert text == expected.text
        # to the other, a padding token that the model says is none
        assert expected.new_tokens <= last.new_tokens <= request.decoding.max_new_tokens
    status = engine.status()
    assert (status["running"], status["waiting"]) == (0, 0)
    assert status["steps_total"] < sum(r.decoding.max_new_tokens for r in requests), "they share steps"
    asyncio.run(engine.close())


@pytest.mark.long
def test_a_seed_gives_the_same_in_any_company(engine: Engine, requests: list[Request]) -> None:
    drawn = [Request(r.query, r.context, Decoding(20, 1.3, 0.9, seed), n=2) for seed, r in enumerate(requests[:6])]
    together = [texts for texts, _ in answers(engine, drawn)]
    alone = [answers(engine, [request])[0][0] for request in drawn]
    assert together == alone
    assert any(first != second for first, second in together)


@pytest.mark.long
def test_a_form_is_made_once_for_all_answers_and_each_goes_its_own_way_in_it(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = '{"type": "object", "properties": {"sure": {"type": "boolean"}}, "required": ["sure"]}'
    kept = Sampling(schema=schema)

    def asked(n: int, seed: int) -> Request:
        return Request(Query("a"), decoding=Decoding(24, 1.5, seed=seed), n=n, sampling=kept)

    alone = [answers(engine, [asked(1, seed)])[0][0][0] for seed in range(4)]
    made = []
    form = engine._front.form
    monkeypatch.setattr(engine._front, "form", lambda request: made.append(request) or form(request))
    assert answers(engine, [asked(4, 0)])[0][0] == alone
    assert len(set(alone)) > 1
    assert len(made) == 1, "everybody waits while one is made"


@pytest.mark.long
def test_the_repetition_penalty_of_a_model_counts(llm_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(llm_folder)
    model.generation_config.repetition_penalty = 3.0
    model.save_pretrained(tmp_path / "model")
    tiny.tokenizer().save_pretrained(tmp_path / "model")
    engine, alone = engines.load("transformers", tmp_path / "model"), answering.load("in_prompt", tmp_path / "model")
    query, decoding = Query("the capital of France"), Decoding(30)
    [([text], _)] = answers(engine, [Request(query, (), decoding)])
    assert text == alone.answer([query], [()], decoding)[0].text
    assert text != answering.load("in_prompt", llm_folder).answer([query], [()], decoding)[0].text
    asyncio.run(engine.close())


def test_history_is_read(engine: Engine, llm_folder: Path) -> None:
    query, decoding = Query("and now"), Decoding(12)
    other = engines.load("transformers", llm_folder)
    for item in (engine, other):
        history = (Turn("what is red", "a colour"),)
        result = answers(item, [Request(query, (), decoding), Request(query, (), decoding, history=history)])
        assert result[0][0] != result[1][0]
    asyncio.run(other.close())


class TestLength:
    def test_too_long_is_refused_before_anything_is_generated(self, engine: Engine) -> None:
        for request in (Request(Query("word " * 900)), Request(Query("a"), (), Decoding(600))):
            with pytest.raises(OptionError, match="512"):
                asyncio.run(engine.prepare(request))

    def test_or_made_shorter(self, engine: Engine) -> None:
        prepared = asyncio.run(engine.prepare(Request(Query("word " * 60), (), Decoding(600), shorten=True)))
        assert prepared.max_new_tokens == 512 - prepared.prompt_tokens
        with pytest.raises(OptionError, match="512"):
            asyncio.run(engine.prepare(Request(Query("word " * 900), shorten=True)))

    def test_more_answers_than_slots(self, engine: Engine) -> None:
        with pytest.raises(OptionError, match="n is 17"):
            asyncio.run(engine.prepare(Request(Query("a"), n=17)))


class TestFailures:
    def test_a_prompt_that_fails_harms_no_other(
        self, camml_folder: Path, requests: list[Request], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine: Any = engines.load("transformers", camml_folder)
        embed = engine._front.embed

        def failing(prepared: Any) -> Any:
            if prepared.request.id == "bad":
                raise RuntimeError("out of memory")
            return embed(prepared)

        monkeypatch.setattr(engine._front, "embed", failing)
        bad = Request(Query("a"), id="bad")

        async def together() -> list[Any]:
            every = (answer(engine, request) for request in (*requests[:5], bad))
            return await asyncio.gather(*every, return_exceptions=True)

        *good, failed = asyncio.run(together())
        assert isinstance(failed, RuntimeError)
        assert all(isinstance(row, tuple) for row in good)
        asyncio.run(engine.close())

    @pytest.mark.parametrize("part", ["_answers", "choose"])
    def test_an_answer_that_cannot_be_begun_or_go_on_harms_no_other_and_holds_no_memory(
        self, part: str, camml_folder: Path, requests: list[Request], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine: Any = engines.load("transformers", camml_folder)
        of, begin = (Sampler, Sampler.choose) if part == "choose" else (engine._batch, engine._batch._answers)

        def failing(first: Any, *rest: Any) -> Any:
            if part == "choose" or first.prepared.request.id == "bad":
                raise KeyError("of this answer alone")
            return begin(first, *rest)

        monkeypatch.setattr(of, part, failing)
        bad = Request(Query("a"), decoding=Decoding(9, temperature=1.0), id="bad", n=2)

        async def together() -> list[Any]:
            every = (answer(engine, request) for request in (*requests[:5], bad))
            return await asyncio.gather(*every, return_exceptions=True)

        *good, failed = asyncio.run(together())
        assert isinstance(failed, KeyError)
        assert all(isinstance(row, tuple) for row in good)
        assert answers(engine, [requests[5]])[0][1][0].finish_reason
        status = engine.status()
        assert (status["running"], status["waiting"], status["memory_bytes"]) == (0, 0, 0)
        asyncio.run(engine.close())

    @pytest.mark.long
    def test_a_step_that_fails_ends_its_answers_and_the_next_succeeds(
        self, camml_folder: Path, requests: list[Request], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine: Any = engines.load("transformers", camml_folder)
        step, calls = engine._batch._step, []

        def failing(chunks: Any) -> None:
            calls.append(1)
            if len(calls) == 2:
                raise RuntimeError("out of memory")
            step(chunks)

        monkeypatch.setattr(engine._batch, "_step", failing)
        with pytest.raises(RuntimeError, match="memory"):
            answers(engine, [requests[5]])
        assert engine.healthy()
        assert answers(engine, [requests[5]])[0][1][0].finish_reason
        asyncio.run(engine.close())

    @pytest.mark.long
    def test_closing_ends_what_is_under_way(self, camml_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        engine: Any = engines.load("transformers", camml_folder)
        step = engine._batch._step

        def slow(chunks: Any) -> None:
            """Give each token late, so that no machine is done before the end is asked for."""
            time.sleep(0.05)
            step(chunks)

        monkeypatch.setattr(engine._batch, "_step", slow)

        async def closed() -> None:
            pieces: AsyncIterator[Piece] = engine.generate(await engine.prepare(Request(Query("a"), (), Decoding(400))))
            await anext(pieces)
            await engine.close()
            async for _ in pieces:
                pass

        with pytest.raises(CaMMLError, match="going down"):
            asyncio.run(closed())
        assert not engine.healthy()


class TestText:
    """Text is shown as soon as it is certain, and all of it."""

    @pytest.mark.long
    @settings(max_examples=200, deadline=None)
    @given(
        text=st.text(st.sampled_from("ab \n\té€😀stop"), max_size=30),
        stop=st.lists(st.text(st.sampled_from("ab st€"), min_size=1, max_size=4), max_size=3),
    )
    def test_the_pieces_are_the_text_up_to_the_first_stop_word(self, text: str, stop: list[str]) -> None:
        tokenizer = TestText.tokenizer
        shown, writer = [], AnswerText(tokenizer, stop)
        for token in tokenizer.encode(text):
            shown.append(writer.add(token))
            if writer.stopped:
                break
        else:
            shown.append(writer.end())
        whole = tokenizer.decode(tokenizer.encode(text))
        results = [(whole.find(word) + len(word), whole.find(word)) for word in stop if word in whole]
        _, place = min(results, default=(0, len(whole)))  # a short word may be complete before a long one around it
        assert "".join(shown) == whole[:place].strip()
        assert writer.stopped == bool(results)

    def test_the_word_that_is_complete_first_stops(self) -> None:
        writer = AnswerText(self.tokenizer, ["ab s", "b"])
        pieces = [writer.add(token) for token in self.tokenizer.encode("ab st")[:2]]
        assert (pieces, writer.stopped) == (["", "a"], True)

    tokenizer = tiny.tokenizer()

    def test_no_half_characters(self) -> None:
        writer = AnswerText(self.tokenizer)
        pieces = [writer.add(token) for token in self.tokenizer.encode("€😀")]
        assert [piece for piece in pieces if piece] == ["€", "😀"]


def test_sampling_keeps_to_top_p() -> None:
    logits = torch.tensor([5.0, 4.9, -2.0, -3.0])
    sampler = Sampler(Decoding(1, 1.0, 0.9, 0), 0, torch.device("cpu"), torch.empty(0, dtype=torch.long), 1.0)
    assert {sampler.choose(logits, []) for _ in range(100)} == {0, 1}


class TestModelsThatAnswerOneRequestAtATime:
    """Prompts that are more than embeddings: pictures with positions of their own."""

    @pytest.fixture(params=["interleaved", "perceiver"])
    def folder(self, request: pytest.FixtureRequest, vlm_folder: Path, camml_vlm_folder: Path) -> Path:
        return vlm_folder if request.param == "interleaved" else camml_vlm_folder

    @pytest.mark.long
    def test_every_answer_is_that_of_the_request_alone(self, folder, requests, caplog) -> None:
        alone = answering.load(answering.fitting(folder), folder)
        engine = engines.load("transformers", folder)
        assert "one request is answered at a time" in caplog.text
        for request, ([text], [last]) in zip(requests, answers(engine, requests), strict=True):
            [expected] = alone.answer([request.query], [request.context], request.decoding)
            assert text == expected.text
            assert expected.new_tokens <= last.new_tokens <= request.decoding.max_new_tokens
        assert (engine.status()["running"], engine.status()["waiting"]) == (0, 0)
        asyncio.run(engine.close())
        assert not engine.healthy()

    @pytest.mark.long
    def test_a_seed_gives_the_same_again_and_several_answers_differ(self, folder, requests) -> None:
        engine = engines.load("transformers", folder)
        request = Request(requests[1].query, requests[1].context, Decoding(8, 2.0, seed=5), n=3)
        [(first, _), (second, _)] = answers(engine, [request, request])
        assert first == second
        assert len(set(first)) > 1
        asyncio.run(engine.close())

    def test_a_reader_that_leaves_ends_the_generation_and_the_next_is_served(self, folder, requests) -> None:
        engine = engines.load("transformers", folder)

        async def leave() -> str:
            prepared = await engine.prepare(Request(Query("what"), (), Decoding(400, 2.0, seed=1)))
            stream = engine.generate(prepared)
            await anext(stream)
            await stream.aclose()
            return (await answer(engine, requests[0]))[0][0]

        assert isinstance(asyncio.run(leave()), str)
        assert engine.status()["cancelled_total"] == 1
        asyncio.run(engine.close())

    def test_a_finished_answer_is_not_counted_as_cancelled(self, folder, requests, monkeypatch) -> None:
        engine = engines.load("transformers", folder)
        generate = type(engine._front.model).generate

        def slow_to_return(*arguments: Any, **options: Any) -> Any:
            answered = generate(*arguments, **options)
            time.sleep(0.3)  # the reader has the last token and leaves before the thread looks
            return answered

        monkeypatch.setattr(type(engine._front.model), "generate", slow_to_return)
        answers(engine, requests[:1])
        asyncio.run(engine.close())
        assert engine.status()["cancelled_total"] == 0

    def test_stop_words_end_an_answer(self, folder) -> None:
        engine = engines.load("transformers", folder)
        [([whole], _)] = answers(engine, [Request(Query("what"), (), Decoding(30, 2.0, seed=3))])
        word = whole[len(whole) // 2 :][:2]
        stopped = Request(Query("what"), (), Decoding(30, 2.0, seed=3), stop=(word,))
        [([text], [last])] = answers(engine, [stopped])
        assert text == whole[: whole.index(word)].strip()
        assert last.finish_reason == "stop"
        asyncio.run(engine.close())

    def test_what_is_unfinished_at_the_end_gets_an_error(self, folder) -> None:
        engine = engines.load("transformers", folder)

        async def close_while_answering() -> None:
            prepared = await engine.prepare(Request(Query("what"), (), Decoding(900, 2.0, seed=1)))
            stream = engine.generate(prepared)
            await anext(stream)
            await engine.close()
            async for _ in stream:
                pass

        with pytest.raises(CaMMLError, match="going down"):
            asyncio.run(close_while_answering())
