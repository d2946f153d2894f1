"""Examples for the page."""

import json
from pathlib import Path

import pytest

from camml.errors import SampleError
from camml.images import open_image
from camml.images.data_urls import bytes_in
from camml.serving.examples import MOST, read_examples
from tests.layouts import picture


def write(folder: Path, *texts: str) -> Path:
    """A file of samples; the first has a large picture."""
    name = picture(folder / "a.png", 1, (2000, 1000))
    entries = [{"id": str(n), "text": text} | ({"image": name} if n == 0 else {}) for n, text in enumerate(texts)]
    file = folder / "examples.jsonl"
    file.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return file


def test_questions_come_with_small_pictures(tmp_path: Path) -> None:
    first, second = read_examples(write(tmp_path, " What is this? ", "And why?"))
    assert first["question"] == "What is this?"
    assert first["image"] is not None
    assert open_image(bytes_in(first["image"])).size == (768, 384)
    assert second == {"question": "And why?", "image": None}


def test_only_so_many_are_read(tmp_path: Path) -> None:
    assert len(read_examples(write(tmp_path, *map(str, range(3 * MOST))))) == MOST


def test_what_stands_behind_them_is_not_read(tmp_path: Path) -> None:
    file = write(tmp_path, *map(str, range(MOST)))
    file.write_text(file.read_text() + "no JSON\n")
    assert len(read_examples(file)) == MOST


def test_a_file_without_questions_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(SampleError, match="holds no examples"):
        read_examples(tmp_path / "empty.jsonl")
    with pytest.raises(SampleError, match=r"id '0'.*has no text"):
        read_examples(write(tmp_path, "  "))
