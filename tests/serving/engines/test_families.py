"""Families of vision-language models behind the transformers engine, stock ones and CaMML's: tiny random weights."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from camml import answering
from camml.answering import Decoding
from camml.prompts import Turn
from camml.serving import engines
from camml.serving.engines import Request
from camml.serving.engines._batch import Batch
from camml.serving.engines._single import SequentialRunner
from camml.types import Neighbor, Query
from tests import families, tiny
from tests.serving.engines.test_transformers import answers

TOGETHER = (
    "llava", "llava_next", "llava_onevision", "smolvlm", "idefics3", "internvl", "mistral3", "deepseek_vl"
)  # fmt: skip
"""Families whose language model reads embeddings alone, which share steps."""

Open = Callable[[str, str], Path]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Open:
    """Writes a family as it is, or with perceivers, into a folder; once each."""
    root = tmp_path_factory.mktemp("families")

    def write(family: str, use: str) -> Path:
        folder = root / f"{family}-{use}"
        if not folder.exists() and use == "interleaved":
            families.save(family, folder)
        elif not folder.exists():
            for part in tiny.added(family):
                part.save_pretrained(folder)
        return folder

    return write


@pytest.fixture(scope="module")
def requests(tmp_path_factory: pytest.TempPathFactory) -> list[Request]:
    """Five with a picture, with zero to three samples, of many lengths; two after an earlier turn, one without."""
    samples = tiny.samples(tmp_path_factory.mktemp("pictures"))
    made = [
        Request(
            Query("what is number " + "very " * (number % 3) + str(number), samples[number % 2].image),
            tuple(Neighbor(sample, 1.0) for sample in samples[: number % 4]),
            Decoding(3 + 3 * number),
        )
        for number in range(5)
    ]
    earlier = (Turn("what is red", "a colour"),)
    later = Request(Query("and here", samples[1].image, history=earlier), (Neighbor(samples[0], 1.0),), Decoding(9))
    return [*made, later, Request(Query("and now", history=earlier))]


def said_by(folder: Path, requests: list[Request]) -> list[str]:
    """What the model's own `generate` says, to each alone."""
    alone = answering.load(answering.fitting(folder), folder)
    return [alone.answer([r.query], [r.context], r.decoding)[0].text for r in requests]


@pytest.mark.long
@pytest.mark.parametrize("use", ["interleaved", "perceiver"])
@pytest.mark.parametrize("family", families.FAMILIES)
def test_every_answer_is_that_of_the_request_alone(
    family: str, use: str, folder_of: Open, requests: list[Request], caplog: pytest.LogCaptureFixture
) -> None:
    engine = engines.load("transformers", folder_of(family, use), slots=4)
    told = [record for record in caplog.records if record.name == "camml.serving"]
    if family in TOGETHER:
        assert isinstance(engine._batch, Batch)
        assert not told
    else:
        assert isinstance(engine._batch, SequentialRunner)
        [line] = told
        assert line.levelno == logging.WARNING
        assert f"one request is answered at a time: a '{family}' model" in line.getMessage()
    asked = requests[:6] if family == "paligemma" else requests  # which takes no prompt without a picture
    assert [texts[0] for texts, _ in answers(engine, asked)] == said_by(folder_of(family, use), asked)
    assert (engine.status()["running"], engine.status()["waiting"]) == (0, 0)
    asyncio.run(engine.close())


@pytest.mark.long
@pytest.mark.parametrize("use", ["interleaved", "perceiver"])
@pytest.mark.parametrize("family", ["llava", "qwen2_vl", "smolvlm", "gemma3"])
def test_clients_in_two_threads_never_meet_and_one_may_leave(
    family: str, use: str, folder_of: Open, requests: list[Request]
) -> None:
    folder = folder_of(family, use)
    engine = engines.load("transformers", folder, slots=4)

    async def leave() -> None:
        prepared = await engine.prepare(Request(requests[3].query, requests[3].context, Decoding(300, 2.0, seed=1)))
        stream = engine.generate(prepared)
        await anext(stream)
        await stream.aclose()

    with ThreadPoolExecutor(3) as threads:
        forwards = threads.submit(answers, engine, requests)
        gone = threads.submit(asyncio.run, leave())
        backwards = threads.submit(answers, engine, requests[::-1])
    gone.result()
    expected = said_by(folder, requests)
    assert [texts[0] for texts, _ in forwards.result()] == expected
    assert [texts[0] for texts, _ in backwards.result()] == expected[::-1]
    [([after], _)] = answers(engine, requests[:1])
    assert after == expected[0]
    assert engine.status()["cancelled_total"] == 1
    asyncio.run(engine.close())


@pytest.mark.long
@pytest.mark.parametrize("use", ["interleaved", "perceiver"])
def test_the_repetition_penalty_of_a_batched_model_counts_as_in_generate(
    use: str, folder_of: Open, requests: list[Request], tmp_path: Path
) -> None:
    plain = folder_of("smolvlm", use)
    for part in (tiny.added if use == "perceiver" else families.build)("smolvlm"):
        if isinstance(part, torch.nn.Module):
            part.generation_config.repetition_penalty = 3.0
        part.save_pretrained(tmp_path)
    engine = engines.load("transformers", tmp_path)
    long = [Request(r.query, r.context, Decoding(16)) for r in requests[:4]]
    expected = said_by(tmp_path, long)
    assert [texts[0] for texts, _ in answers(engine, long)] == expected
    assert expected != said_by(plain, long)
    asyncio.run(engine.close())


def test_a_language_model_whose_layers_do_not_batch_answers_one_request_at_a_time(
    llm_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("camml.serving.engines._probe._same", lambda *_: False)
    engine = engines.load("transformers", llm_folder)
    assert "one request is answered at a time: a 'llama' language model attends by rules of its own" in caplog.text
    asked = [Request(Query("the capital of France"), (), Decoding(9))]
    assert [texts[0] for texts, _ in answers(engine, asked)] == said_by(llm_folder, asked)
    asyncio.run(engine.close())
