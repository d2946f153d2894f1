"""A long question takes what it needs, and others go on beside it; counted in bytes of tensors and in steps."""

import asyncio
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from camml import answering
from camml.answering import Decoding
from camml.errors import BusyError, TooLargeError
from camml.serving import engines
from camml.serving.engines import Request
from camml.serving.engines._attention import Segment, Window
from camml.serving.engines._jobs import Reading, shares
from camml.serving.engines._memory import budget, bytes_per_token
from camml.serving.engines._slots import Layout, Slots
from camml.serving.engines.transformers import _chunk
from camml.types import Query

LAYOUT = Layout(((2, 4), (2, 4)), ((2, 4), (2, 4)), torch.float32, torch.device("cpu"))
PER_TOKEN = 4 * 2 * 4 * 4


def taken(slots: Slots) -> int:
    """The bytes of all tensors there are."""
    return sum(tensor.nbytes for block in slots.blocks for tensor in (*block.keys, *block.values))


class TestSlots:
    def test_take_what_an_answer_needs_and_give_it_back(self) -> None:
        slots = Slots(LAYOUT, 10**9)
        assert (LAYOUT.bytes_per_token, slots.allocated) == (PER_TOKEN, 0)
        long = slots.take(7000)
        assert slots.allocated == taken(slots) == 7008 * PER_TOKEN
        short = [slots.take(100) for _ in range(32)]
        assert slots.allocated == taken(slots) == (7008 + 2 * 16 * 128) * PER_TOKEN
        slots.free(long)
        assert taken(slots) == 2 * 16 * 128 * PER_TOKEN, "a long one does not lengthen the others"
        for row in short[::2] + short[1::2]:
            slots.free(row)
        assert (slots.allocated, slots.blocks) == (0, [])

    def test_what_is_freed_first_is_filled_by_the_last_with_what_it_holds(self) -> None:
        slots = Slots(LAYOUT, 10**9)
        rows = [slots.take(1000) for _ in range(5)]
        for number, row in enumerate(rows):
            row.block.keys[0][row.block.rows.index(row), :, :3] = number
            row.count = 3
        slots.free(rows[0])
        slots.free(rows[2])
        assert taken(slots) == 2 * 2 * 1024 * PER_TOKEN
        for number in (1, 3, 4):
            row = rows[number]
            assert (row.block.keys[0][row.block.rows.index(row), :, :3] == number).all()

    def test_keep_to_their_budget(self) -> None:
        slots = Slots(LAYOUT, 4000 * PER_TOKEN)
        assert slots.cost(3000) == 3008 * PER_TOKEN
        slots.take(3000)
        assert not slots.fits(3000)
        assert slots.fits(400)
        while slots.fits(400):
            slots.take(400)
        assert taken(slots) <= slots.memory

    def test_a_small_budget_is_not_spent_on_rows_that_nobody_uses(self) -> None:
        slots = Slots(LAYOUT, 1000 * PER_TOKEN)
        assert slots.cost(400) == 512 * PER_TOKEN


def test_a_budget_is_what_is_asked_for_or_half_of_what_is_free() -> None:
    assert budget("1GB", torch.device("cpu")) == 10**9
    assert budget(None, torch.device("cpu")) > 10**6


def test_what_a_token_takes_is_told_of_usual_models_alone() -> None:
    from transformers import LlamaConfig, MambaConfig

    small = LlamaConfig(hidden_size=64, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2)
    assert bytes_per_token(small, torch.float32) == 2 * 3 * 2 * 16 * 4
    assert bytes_per_token(MambaConfig(), torch.float32) == 0


def test_turns_go_to_the_short_and_to_the_old() -> None:
    def reading(tokens: int) -> Reading:
        job: Any = None
        return Reading(job, [], torch.zeros(tokens, 1))

    long, short, other = reading(1000), reading(30), reading(50)
    assert shares([long, short, other], 64, oldest_first=False) == [(short, 30), (other, 34)]
    assert shares([long, short, other], 64, oldest_first=True) == [(long, 64)]


def test_a_piece_of_a_prompt_is_about_two_steps_worth_of_work() -> None:
    cpu = _chunk(None, "cpu", 512)
    assert [cpu(answers) for answers in (1, 8, 16)] == [16, 44, 64]
    assert (_chunk(None, "cuda", 512)(1), _chunk(8, "cpu", 512)(16), _chunk(None, "cpu", 7)(16)) == (512, 8, 7)


@pytest.fixture(scope="module")
def engine(camml_folder: Path) -> Iterator[Any]:
    """One that reads eight tokens of a prompt beside each step."""
    loaded = engines.load("transformers", camml_folder, slots=4, chunk_tokens=8, memory="3MB")
    yield loaded
    asyncio.run(loaded.close())


LONG = Request(Query("word " * 80), (), Decoding(4))


async def text_of(engine: Any, request: Request) -> str:
    """A whole answer."""
    return "".join([piece.text async for piece in engine.generate(await engine.prepare(request))])


def hold(engine: Any, until: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody get more than a few tokens before something has happened, so that no answer is whole by then."""
    step = engine._batch._step

    def held(chunks: Any) -> None:
        if any(len(stream.answer.said) > 2 for stream in engine._batch._running):
            until.wait(30)
        step(chunks)

    monkeypatch.setattr(engine._batch, "_step", held)


@pytest.fixture
def two_at_once(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first request gets no more than a few tokens before a second is in."""
    submit, jobs, second = engine._batch.submit, [], threading.Event()

    def counted(job: Any) -> None:
        submit(job)
        jobs.append(job)
        if len(jobs) == 2:
            second.set()

    monkeypatch.setattr(engine._batch, "submit", counted)
    hold(engine, second, monkeypatch)


def test_a_prompt_read_in_pieces_is_answered_as_one_read_at_once(
    engine: Any, camml_folder: Path, two_at_once: None
) -> None:
    async def beside() -> str:
        stream = engine.generate(await engine.prepare(Request(Query("a"), (), Decoding(200))))
        await anext(stream)
        try:
            return await text_of(engine, LONG)
        finally:
            await stream.aclose()

    before = engine.status()["chunks_total"]
    answered = asyncio.run(beside())
    assert engine.status()["chunks_total"] - before > 20
    [alone] = answering.load("perceiver", camml_folder).answer([LONG.query], [()], LONG.decoding)
    assert answered == alone.text


def test_others_get_a_token_between_any_two_pieces(
    engine: Any, monkeypatch: pytest.MonkeyPatch, two_at_once: None
) -> None:
    step, turns = engine._batch._step, []

    def watched(chunks: Any) -> None:
        said = [len(stream.answer.said) for stream in engine._batch._running]
        turns.append((sum(count for _, count in chunks), said))
        step(chunks)

    monkeypatch.setattr(engine._batch, "_step", watched)

    async def beside() -> None:
        stream = engine.generate(await engine.prepare(Request(Query("a"), (), Decoding(300))))
        await anext(stream)
        turns.clear()
        await text_of(engine, LONG)
        await stream.aclose()

    asyncio.run(beside())
    reading = [turn for turn in turns if turn[0]]
    assert len(reading) > 10
    assert all(count <= 8 for count, said in reading if said)
    firsts = [said[0] for _, said in turns if said]
    assert all(later - earlier == 1 for earlier, later in pairwise(firsts)), "no step without one"


def test_a_prompt_whose_reader_leaves_is_read_no_further_and_its_memory_is_given_back(
    engine: Any, monkeypatch: pytest.MonkeyPatch, two_at_once: None
) -> None:
    step, read = engine._batch._step, []

    async def leave() -> None:
        loop, seen, gone = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

        def watched(chunks: Any) -> None:
            step(chunks)
            if chunks:
                read.append(sum(count for _, count in chunks))
                if len(read) == 3:
                    loop.call_soon_threadsafe(seen.set)
                    gone.wait(30)

        stream = engine.generate(await engine.prepare(Request(Query("a"), (), Decoding(400))))
        await anext(stream)
        monkeypatch.setattr(engine._batch, "_step", watched)
        asking = asyncio.ensure_future(text_of(engine, LONG))
        await seen.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        gone.set()
        await stream.aclose()

    asyncio.run(leave())
    for _ in range(1000):
        if engine.status()["memory_bytes"] == 0:
            break
        time.sleep(0.01)
    assert len(read) >= 3
    assert sum(read) < 400 / 2
    assert engine.status()["memory_bytes"] == 0


class TestBudget:
    """Said in tokens of the tiny model."""

    @pytest.fixture
    def per_token(self, engine: Any) -> int:
        return int(engine._batch._slots._layout.bytes_per_token)

    def test_what_never_fits_is_refused(self, camml_folder: Path, per_token: int) -> None:
        small: Any = engines.load("transformers", camml_folder, memory=256 * per_token)
        with pytest.raises(TooLargeError, match=r"answers of up to 300 take .*kB, and this server has .*kB for them"):
            asyncio.run(small.prepare(Request(Query("a"), (), Decoding(300))))
        assert asyncio.run(text_of(small, Request(Query("a"), (), Decoding(4)))) is not None
        asyncio.run(small.close())

    @pytest.mark.long
    def test_a_long_one_is_told_to_come_back_while_another_has_the_memory(
        self, camml_folder: Path, per_token: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine: Any = engines.load("transformers", camml_folder, slots=8, memory=900 * per_token)
        large, refused = Request(Query("a"), (), Decoding(400)), threading.Event()
        hold(engine, refused, monkeypatch)

        async def both() -> None:
            stream = engine.generate(await engine.prepare(large))
            await anext(stream)
            with pytest.raises(BusyError, match="memory for long questions is in use"):
                await engine.prepare(large)
            refused.set()
            short = asyncio.ensure_future(text_of(engine, Request(Query("b"), (), Decoding(3))))
            await stream.aclose()
            await short
            await text_of(engine, large)

        asyncio.run(both())
        assert engine.status()["memory_bytes"] == 0
        asyncio.run(engine.close())

    def test_the_longest_slots_do_not_fit(self, camml_folder: Path) -> None:
        with pytest.raises(TooLargeError, match="slots of 512 tokens"):
            engines.load("transformers", camml_folder, cache="static", memory="100kB")

    @pytest.mark.long
    def test_memory_that_is_taken_at_once_serves_all_slots(self, camml_folder: Path, per_token: int) -> None:
        engine: Any = engines.load("transformers", camml_folder, cache="static", slots=2, memory=1024 * per_token)
        request = Request(Query("a"), (), Decoding(300))

        async def both() -> list[str]:
            return list(await asyncio.gather(text_of(engine, request), text_of(engine, request)))

        first, second = asyncio.run(both())
        assert first == second != ""
        assert engine.status()["memory_bytes"] == 1024 * per_token
        asyncio.run(engine.close())

    def test_models_that_answer_one_by_one(self, vlm_folder: Path) -> None:
        engine: Any = engines.load("transformers", vlm_folder, memory="1kB")
        with pytest.raises(TooLargeError):
            asyncio.run(engine.prepare(Request(Query("a"))))
        asyncio.run(engine.close())


def test_a_text_of_so_many_characters_has_more_tokens_than_the_model_reads(engine: Any) -> None:
    tokenizer, most = engine._front.tokenizer, engine.most_characters
    words = [tokenizer.decode([token]) for token in range(len(tokenizer)) if token not in tokenizer.all_special_ids]
    assert 512 <= most < 512 * 100
    assert len(tokenizer.encode(max(words, key=len) * 512)) <= 513
    assert len(max(words, key=len)) * 512 <= most, "the longest text that fits is not refused"


def test_rows_of_a_window_see_only_themselves() -> None:
    """Two answers in one run write where they are, and nowhere else."""
    slots = Slots(LAYOUT, 10**9)
    first, other = slots.take(100), slots.take(100)
    window = Window([Segment(first.block, 0, 1, 3), Segment(other.block, 1, 1, 2)])
    keys = torch.arange(5.0)[None, None, :, None].expand(1, 2, 5, 4)
    for layer in (0, 1):
        window.update(keys, keys, layer)
    window.end()
    assert (first.count, other.count) == (3, 2)
    assert first.block.keys[0][0, 0, :4, 0].tolist() == [0, 1, 2, 0]
    assert first.block.keys[1][1, 0, :4, 0].tolist() == [3, 4, 0, 0]
