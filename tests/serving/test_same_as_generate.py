"""Answers of a server beside those of the same model's `generate` in Python: tiny random weights in float32."""

import base64
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from camml.datastore import open_store
from camml.prompts import Turn
from camml.serving import engines
from tests import families, tiny
from tests.serving.conftest import Serve, run_apart, service_of

LENGTH = 12
SEED = 4  # of weights whose answers show what was asked, and are more than line breaks
FAMILIES = ["llava", "gemma3"]  # whose requests share steps, and whose are answered one at a time
ASKED = ("what is the first one", "a square", "and these two")


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Three pictures of different colours and shapes."""
    return [tiny.image(tmp_path, str(n), (200, 80 * n, 9), (28 * (n + 1), 40)) for n in range(3)]


def talk(pictures: list[Any]) -> list[dict[str, Any]]:
    """A conversation about one picture, and then two others."""
    first, answer, later = ({"type": "text", "text": text} for text in ASKED)
    return [
        {"role": "user", "content": [pictures[0], first]},
        {"role": "assistant", "content": [answer]},
        {"role": "user", "content": [*pictures[1:], later]},
    ]


def served(folder: Path, store: Path, serve: Serve, pictures: list[Path], shots: int) -> Any:
    """What a server says to the conversation."""
    urls = ["data:image/png;base64," + base64.b64encode(file.read_bytes()).decode() for file in pictures]
    engine = engines.load("transformers", folder, dtype="float32")
    try:
        with serve(service_of(engine, store)) as address:
            return OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0).chat.completions.create(
                model="tiny", messages=talk([{"type": "image_url", "image_url": {"url": url}} for url in urls]),
                max_tokens=LENGTH, temperature=0, extra_body={"shots": shots},
            )  # fmt: skip
    finally:
        run_apart(engine.close())


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_a_stock_model_says_what_transformers_makes_it_say(
    family: str, shared_store: Path, serve: Serve, pictures: list[Path], tmp_path: Path
) -> None:
    families.save(family, tmp_path / "model", SEED)
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "model")
    processor = AutoProcessor.from_pretrained(tmp_path / "model")
    messages = talk([{"type": "image", "image": Image.open(file)} for file in pictures])
    options = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "pt"}
    inputs = processor.apply_chat_template(messages, **options)
    told = model.generate(**inputs, max_new_tokens=LENGTH, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    reply = served(tmp_path / "model", shared_store, serve, pictures, shots=0)
    assert reply.usage.prompt_tokens == inputs["input_ids"].shape[1]
    assert reply.choices[0].message.content == processor.decode(told, skip_special_tokens=True).strip() != ""


@pytest.mark.long
@pytest.mark.parametrize("shots", [0, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_with_perceivers_it_says_what_generate_does(
    family: str, shots: int, shared_store: Path, serve: Serve, pictures: list[Path], tmp_path: Path
) -> None:
    model, processor = tiny.added(family, SEED)
    for part in (model, processor):
        part.save_pretrained(tmp_path / "model")
    reply = served(tmp_path / "model", shared_store, serve, pictures, shots)
    store, _ = open_store(str(shared_store))
    samples = [store[sample["id"]] for sample in reply.context]
    assert len(samples) == shots
    turns = [Turn(ASKED[0], ASKED[1], tuple(pictures[:1])), Turn(ASKED[2], None, tuple(pictures[1:]))]
    inputs = processor.prepare([turns], [pictures], [samples])
    told = model.generate(**inputs, max_new_tokens=LENGTH, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert reply.usage.prompt_tokens == inputs["input_ids"].shape[1]
    assert reply.choices[0].message.content == processor.decode(told).strip() != ""
