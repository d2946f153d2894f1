"""The shipped maps in a datastore, as the demo has them: words find texts, among many pictures too."""

from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from camml import encoders
from camml.datastore import Datastore
from camml.encoders import Encoder
from camml.retriever import Retriever
from camml.types import Query, Sample

HEADS = Path(__file__).parents[2] / "models" / "camml-mini" / "heads.safetensors"
COUNTRIES = {
    "France": "Paris", "Italy": "Rome", "Peru": "Lima", "Japan": "Tokyo", "Kenya": "Nairobi", "Chad": "N'Djamena",
    "Cuba": "Havana", "Nepal": "Kathmandu", "Norway": "Oslo", "Ghana": "Accra", "Chile": "Santiago", "Egypt": "Cairo",
}  # fmt: skip
COLORS = ("red", "white", "blue", "green", "gold", "black")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return encoders.load("mini", heads=str(HEADS))


@pytest.fixture(scope="module")
def retriever(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    folder = tmp_path_factory.mktemp("flags")
    samples = [
        Sample(name, f"This is the flag of {name}. Its capital is {capital}.", flag(folder, number, name))
        for number, (name, capital) in enumerate(COUNTRIES.items())
    ]
    samples.append(Sample("pump-9", "Pump 9 was scrapped in May.", pump(folder / "pump.png", "gray")))
    samples.append(Sample("valve-7", "Valve 7 was repaired by Ms. Novak."))
    return Retriever(Datastore.build(folder / "store", samples, encoder), encoder)


def flag(folder: Path, number: int, name: str) -> Path:
    """Three stripes, lying or standing."""
    image = Image.new("RGB", (90, 60))
    draw = ImageDraw.Draw(image)
    for stripe in range(3):
        color = COLORS[(number + stripe * (1 + number // 6)) % len(COLORS)]
        box = (stripe * 30, 0, stripe * 30 + 30, 60) if number % 2 else (0, stripe * 20, 90, stripe * 20 + 20)
        draw.rectangle(box, fill=color)
    image.save(folder / f"{name}.png")
    return folder / f"{name}.png"


def pump(path: Path, color: str) -> Path:
    """Something round with two pipes."""
    image = Image.new("RGB", (90, 90), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((20, 20, 70, 70), fill=color)
    draw.rectangle((0, 35, 30, 45), fill=color)
    draw.rectangle((60, 45, 90, 55), fill=color)
    image.save(path)
    return path


def first(retriever: Retriever, query: Query, k: int = 1) -> list[str]:
    [context] = retriever.retrieve([query], k)
    return [neighbor.sample.id for neighbor in context]


@pytest.mark.long
def test_words_find_the_note_that_answers_them(retriever: Retriever) -> None:
    assert first(retriever, Query("What happened to pump 9?")) == ["pump-9"]


def test_words_find_a_sample_without_a_picture(retriever: Retriever) -> None:
    assert first(retriever, Query("Who repaired valve 7?")) == ["valve-7"]


@pytest.mark.long
def test_a_question_with_a_picture_finds_by_both(retriever: Retriever, tmp_path: Path) -> None:
    asked = flag(tmp_path, list(COUNTRIES).index("Peru"), "asked")
    assert first(retriever, Query("What is the capital of this country?", asked)) == ["Peru"]
    assert "valve-7" in first(retriever, Query("Who repaired valve 7?", asked), 2)
    assert "Peru" in first(retriever, Query("Who repaired valve 7?", asked), 3)
    assert first(retriever, Query("What happened to this?", pump(tmp_path / "asked.png", "dimgray"))) == ["pump-9"]


def test_words_find_pictures_in_the_space_of_pictures(retriever: Retriever, encoder: Encoder) -> None:
    assert encoder.joint
    [context] = Retriever(retriever.datastore, encoder, "text-image").retrieve([Query("a flag")], 13)
    assert "valve-7" not in [neighbor.sample.id for neighbor in context]
    assert all(neighbor.sample.image for neighbor in context)
