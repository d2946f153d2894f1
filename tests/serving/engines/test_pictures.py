"""Pictures of many requests: seen together, kept by their content, and no longer in the way of others than two are."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from camml import answering
from camml.answering import Decoding
from camml.serving import engines
from camml.serving.engines import Request
from camml.serving.engines._batch import BUSY_PICTURES
from camml.serving.engines._pictures import Inputs, Pictures
from camml.types import Neighbor, Query
from tests import tiny


@pytest.fixture
def engine(camml_folder: Path) -> Iterator[Any]:
    loaded = engines.load("transformers", camml_folder, slots=16)
    yield loaded
    asyncio.run(loaded.close())


@pytest.fixture
def shown(engine: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures the tower was shown at a time."""
    vlm, sizes = engine._front._answerer.model.vlm, []
    tower = vlm.tower_features

    def watched(pixels: torch.Tensor) -> Any:
        sizes.append(len(pixels))
        return tower(pixels)

    monkeypatch.setattr(vlm, "tower_features", watched)
    return sizes


def questions(folder: Path, number: int) -> list[Request]:
    """Some, each with a picture of its own and the same three samples."""
    context = tuple(Neighbor(sample, 1.0) for sample in tiny.samples(folder)[:3])
    return [
        Request(Query(f"what is {n}", Image.new("RGB", (40, 30), (20 * n, 255 - 9 * n, 90))), context, Decoding(6))
        for n in range(number)
    ]


async def text_of(engine: Any, request: Request) -> str:
    return "".join([piece.text async for piece in engine.generate(await engine.prepare(request))])


def together(engine: Any, requests: list[Request]) -> list[str]:
    async def ask() -> list[str]:
        prepared = [await engine.prepare(request) for request in requests]

        async def text_of(ready: Any) -> str:
            return "".join([piece.text async for piece in engine.generate(ready)])

        return list(await asyncio.gather(*map(text_of, prepared)))

    return asyncio.run(ask())


@pytest.mark.long
def test_are_seen_together_once_and_give_the_same_answers(
    engine: Any, shown: list[int], camml_folder: Path, tmp_path: Path
) -> None:
    requests = questions(tmp_path, 8)
    answers = together(engine, requests)
    pictures = len({sample.image for r in requests for n in r.context if (sample := n.sample).image})
    assert sum(shown) == 8 + pictures
    assert len(shown) < 8, "not one by one"
    assert together(engine, requests) == answers
    assert sum(shown) == 8 + pictures, "nothing is seen twice"
    assert engine.status()["picture_misses_total"] == 8 + pictures
    assert engine.status()["picture_hits_total"] >= 8 + pictures
    alone = answering.load("perceiver", camml_folder)
    for request, answer in zip(requests, answers, strict=True):
        assert alone.answer([request.query], [request.context], request.decoding)[0].text == answer


def test_between_two_steps_of_others_few_are_looked_at(
    engine: Any, shown: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, between, done = engine._batch._step, [], []

    def watched(chunks: Any) -> None:
        between.append((len(engine._batch._running), sum(shown) - sum(done), bool(chunks)))
        done[:] = [sum(shown)]
        step(chunks)

    async def beside() -> None:
        stream = engine.generate(await engine.prepare(Request(Query("a"), (), Decoding(400))))
        await anext(stream)
        monkeypatch.setattr(engine._batch, "_step", watched)
        await asyncio.gather(*(text_of(engine, request) for request in questions(tmp_path, 6)))
        await stream.aclose()

    asyncio.run(beside())
    assert sum(seen for _, seen, _ in between) >= 6
    assert max(seen for running, seen, _ in between if running) <= BUSY_PICTURES
    assert not any(seen and read for running, seen, read in between if running), "looking and reading take turns"
    assert sum(read for _, _, read in between) >= 6


def test_one_that_fails_harms_no_other(engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vlm, good = engine._front._answerer.model.vlm, questions(tmp_path, 3)
    tower = vlm.tower_features

    def failing(pixels: torch.Tensor) -> Any:
        if (pixels.flatten(1).std(dim=1) < 1e-6).any():
            raise RuntimeError("out of memory")
        return tower(pixels)

    expected = together(engine, good)
    engine._front._pictures._cache.clear()
    monkeypatch.setattr(vlm, "tower_features", failing)

    async def all_of_them() -> list[Any]:
        prepared = [await engine.prepare(request) for request in (*good, Request(Query("b", good[0].query.image)))]
        bad = prepared[-1].inputs
        bad["pixel_values"] = torch.zeros_like(bad["pixel_values"])
        bad.names = {"pixel_values": ["blank"]}

        async def text_of(ready: Any) -> str:
            return "".join([piece.text async for piece in engine.generate(ready)])

        return list(await asyncio.gather(*map(text_of, prepared), return_exceptions=True))

    *answers, failed = asyncio.run(all_of_them())
    assert isinstance(failed, RuntimeError)
    assert answers == expected


def test_what_is_kept_is_bounded() -> None:
    pictures, made = Pictures(most_bytes=3 * 16), []

    def tower(pixels: torch.Tensor) -> torch.Tensor:
        made.append(len(pixels))
        return pixels[:, :1, 0, :4]

    def inputs(value: float) -> Inputs:
        return Inputs.of({"pixel_values": torch.full((1, 3, 2, 4), float(value)), "input_ids": torch.ones(1, 1)})

    for value in range(10):
        pictures.look([inputs(value)], 4, tower)
    assert (sum(made), len(pictures._cache), pictures._bytes) == (10, 3, 48)
    many = [inputs(value) for value in (20, 21, 22, 23, 24)]
    pictures.look(many, 3, tower)
    assert [item.seen for item in many] == [True, True, True, False, False]
    assert many[1].with_features()["image_features"].tolist() == [[[21.0] * 4]]
    assert "pixel_values" not in many[1].with_features()
