"""LLaVA JSON."""

import json
from pathlib import Path

import pytest

from camml import formats
from camml.errors import SampleError


def read(folder: Path, entries: object) -> list[str]:
    path = folder / "data.json"
    path.write_text(json.dumps(entries))
    return [sample.text for sample in formats.read(path, format="llava_json")]


def test_the_text_is_all_turns_without_the_image_mark(tmp_path: Path) -> None:
    turns = ["<image>\nWhat is shown here?", "The great wall.", "Where?\n<image>", " China. "]
    speakers = ["human", "gpt", "human", "gpt"]
    entry = {"id": "wall", "conversations": [{"from": s, "value": v} for s, v in zip(speakers, turns, strict=True)]}
    assert read(tmp_path, [entry]) == ["What is shown here?The great wall.Where? China."]


def test_the_sample_text_is_that_of_the_official_datastore(golden: Path, tmp_path: Path) -> None:
    expected = json.loads((golden / "camml_linear" / "expected.json").read_text())["contexts"][0]
    question, mark, answer = expected.partition("?")
    turns = [{"from": "human", "value": f"<image>\n{question}{mark}"}, {"from": "gpt", "value": answer}]
    assert read(tmp_path, [{"id": "1", "conversations": turns}]) == [expected]


def test_an_entry_without_conversations_is_named(tmp_path: Path) -> None:
    with pytest.raises(SampleError, match=r"entry 1 \(id 'a'\): has no conversations; its keys are 'id', 'text'"):
        read(tmp_path, [{"id": "a", "text": "b"}])


def test_the_published_evaluation_file_is_read(golden_eval: Path) -> None:
    path = golden_eval / "scienceqa" / "llava_test_CQM-A.json"
    assert formats.find_format(path) == "llava_json"
    samples = list(formats.read(path))
    assert len(samples) == 4241
    assert sum(sample.image is not None for sample in samples) == 2017
    assert not any("<image>" in sample.text for sample in samples)
