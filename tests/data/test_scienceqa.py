"""The ScienceQA converter, held to the published file and to the layouts of the official script."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from camml import formats
from camml.data import scienceqa
from camml.errors import DiskError, OptionError, SampleError

PROBLEM = {
    "question": "Which is  hot?",
    "choices": ["ice", "fire", "snow"],
    "answer": 1,
    "hint": "Look closely. ",
    "image": None,
    "lecture": "Heat\\nrises.",
    "solution": "Fire is hot.",
    "grade": "grade2",
    "split": "train",
}
BARE = PROBLEM | {"hint": "", "lecture": "", "solution": "", "image": "image.png", "question": "Which?"}


def write(folder: Path, problems: dict[str, Any], splits: dict[str, Any] | None = None) -> Path:
    (folder / "problems.json").write_text(json.dumps(problems))
    (folder / "pid_splits.json").write_text(json.dumps(splits or {"train": list(problems)}))
    return folder


def turns(folder: Path, problem: dict[str, Any], prompt_format: str, layout: str = "auto") -> list[str]:
    path, count = scienceqa.convert(write(folder, {"1": problem}), "train", prompt_format, layout=layout)
    assert count == 1
    return [turn["value"] for turn in json.loads(path.read_text())[0]["conversations"]]


def problem_of(entry: dict[str, Any]) -> dict[str, Any]:
    """A problem that the published entry can have come from; where hint and question meet does not show."""
    human, gpt = (turn["value"] for turn in entry["conversations"])
    body, *options = re.split(r"\n[A-E]\. ", human.removeprefix("<image>\n"))
    hint, _, question = (
        body.removeprefix("Context: ").rpartition("\n") if body.startswith("Context: ") else ("", "", body)
    )
    image = entry["image"].split("/")[1] if "image" in entry else None
    return PROBLEM | {
        "question": question, "hint": hint, "choices": options, "answer": "ABCDE".index(gpt), "image": image
    }  # fmt: skip


def test_the_published_file_is_reproduced_byte_for_byte(golden_eval: Path, tmp_path: Path) -> None:
    folder = golden_eval / "scienceqa"
    published = (folder / "llava_test_CQM-A.json").read_bytes()
    problems = {entry["id"]: problem_of(entry) for entry in json.loads(published)}
    splits = json.loads((folder / "pid_splits.json").read_text())
    path, count = scienceqa.convert(write(tmp_path, problems, splits), "test", "CQM-A")
    assert path == tmp_path / "llava_test_CQM-A.json"
    assert count == 4241
    assert path.read_bytes() == published


def test_training_prompts_ask_with_labels_and_reason_before_the_answer(tmp_path: Path) -> None:
    assert turns(tmp_path, PROBLEM, "QCM-LEPA") == [
        "Which is hot?\nContext: Look closely.\nOptions: (A) ice (B) fire (C) snow",
        "LECTURE: Heat\nrises.\nSOLUTION: Fire is hot.\n###\nANSWER: B.",
    ]
    assert turns(tmp_path, BARE, "QCM-LEPA") == [
        "Which?\nContext: N/A\nOptions: (A) ice (B) fire (C) snow\n<image>",
        "###\nANSWER: B.",
    ]


ASKED = {
    "CQM": "Context: H\nQuestion: Q\nOptions: (A) ice (B) fire (C) snow",
    "QCM": "Q\nContext: H\nOptions: (A) ice (B) fire (C) snow",
    "QCML": "Q\nContext: H\nOptions: (A) ice (B) fire (C) snow\nBECAUSE: L",
    "QCME": "Q\nContext: H\nOptions: (A) ice (B) fire (C) snow\nBECAUSE: S",
    "QCMLE": "Q\nContext: H\nOptions: (A) ice (B) fire (C) snow\nBECAUSE: L S",
    "QCLM": "Q\nContext: H\nBECAUSE: L\nOptions: (A) ice (B) fire (C) snow",
    "QCEM": "Q\nContext: H\nBECAUSE: S\nOptions: (A) ice (B) fire (C) snow",
    "QCLEM": "Q\nContext: H\nBECAUSE: L S\nOptions: (A) ice (B) fire (C) snow",
}
ANSWERED = {
    "A": "The answer is B.",
    "AL": "The answer is B. BECAUSE: S",
    "AE": "The answer is B. BECAUSE: L",
    "ALE": "The answer is B. BECAUSE: L S",
    "AEL": "The answer is B. BECAUSE: S L",
    "LA": "L The answer is B.",
    "EA": "S The answer is B.",
    "LEA": "L S The answer is B.",
    "ELA": "S L The answer is B.",
    "LEPA": "LECTURE: L\nSOLUTION: S\n###\nANSWER: B.",
}
LETTERS = PROBLEM | {"question": "Q", "hint": "H", "lecture": "L", "solution": "S"}


def test_every_prompt_format_has_its_layout_here() -> None:
    assert tuple(ASKED) == scienceqa.ASKED
    assert tuple(ANSWERED) == scienceqa.ANSWERED


@pytest.mark.parametrize("asked", ASKED)
def test_what_is_asked(asked: str, tmp_path: Path) -> None:
    assert turns(tmp_path, LETTERS, f"{asked}-LEPA")[0] == ASKED[asked]


@pytest.mark.parametrize("answered", ANSWERED)
def test_what_is_answered(answered: str, tmp_path: Path) -> None:
    assert turns(tmp_path, LETTERS, f"QCM-{answered}")[1] == ANSWERED[answered]


def test_an_empty_reason_is_dropped(tmp_path: Path) -> None:
    options = "Options: (A) ice (B) fire (C) snow"
    assert turns(tmp_path, BARE | {"image": None}, "QCMLE-ALE") == [
        f"Which?\nContext: N/A\n{options}",
        "The answer is B.",
    ]
    assert turns(tmp_path, BARE, "QCM-LEA")[1] == " The answer is B."  # of three spaces the official script leaves two


def test_labels_inside_a_problem_go_as_in_the_official_script(tmp_path: Path) -> None:
    problem = LETTERS | {"hint": "Question: H"}
    assert turns(tmp_path, problem, "QCM-A")[0].startswith("Q\nContext: H\n")
    assert turns(tmp_path, problem, "CQM-LEA")[0].startswith("Context: Question: H\nQuestion: Q\n")


def test_both_layouts_can_be_asked_for(tmp_path: Path) -> None:
    assert turns(tmp_path, LETTERS, "CQM-A", "labelled") == [ASKED["CQM"], "The answer is B."]
    assert turns(tmp_path, LETTERS, "QCM-A", "plain") == ["Q\nContext: H\nA. ice\nB. fire\nC. snow", "B"]
    assert turns(tmp_path, BARE, "CQM-A") == ["<image>\nWhich?\nA. ice\nB. fire\nC. snow", "B"]


def test_the_result_is_readable_as_samples(tmp_path: Path) -> None:
    folder = write(tmp_path, {"1": PROBLEM, "2": BARE})
    path, _ = scienceqa.convert(folder, "train", out=tmp_path / "out.json")
    samples = list(formats.read(path, images=tmp_path / "images" / "train"))
    assert [sample.image for sample in samples] == [None, tmp_path / "images" / "train" / "2" / "image.png"]


def test_a_setting_that_does_not_exist_is_named_with_the_choices(tmp_path: Path) -> None:
    folder = write(tmp_path, {"1": PROBLEM}, {"train": ["1"], "minival": []})
    with pytest.raises(OptionError, match=r"no split 'dev' .* there are: train, minival"):
        scienceqa.convert(folder, "dev")
    for bad in ("QCM", "XYZ-A", "QCM-P", "QCM-A-E", ""):
        with pytest.raises(OptionError, match="no prompt format"):
            scienceqa.convert(folder, "train", bad)
    with pytest.raises(OptionError, match="there are: auto, labelled, plain"):
        scienceqa.convert(folder, "train", layout="nice")
    with pytest.raises(OptionError, match="plain layout is for CQM-A and QCM-A"):
        scienceqa.convert(folder, "train", layout="plain")


@pytest.mark.parametrize(
    "change",
    [
        {"answer": 3},
        {"answer": -1},
        {"answer": "1"},
        {"choices": None},
        {"hint": None},
        {"choices": [1, 2]},
        {"image": 5},
    ],
)
def test_a_damaged_problem_is_named(change: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SampleError, match="problem '1' is damaged"):
        scienceqa.convert(write(tmp_path, {"1": PROBLEM | change}), "train")


def test_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(SampleError, match=r"pid_splits\.json: cannot be read"):
        scienceqa.convert(tmp_path, "train")
    write(tmp_path, {"1": PROBLEM}, {"train": ["1", "2"]})
    with pytest.raises(SampleError, match="no problem '2'"):
        scienceqa.convert(tmp_path, "train")
    write(tmp_path, {"1": PROBLEM}, {"train": "1"})
    with pytest.raises(SampleError, match="must be a list"):
        scienceqa.convert(tmp_path, "train")
    for content, expected in (("[]", "is not a JSON object"), ("{", "not JSON")):
        (tmp_path / "problems.json").write_text(content)
        with pytest.raises(SampleError, match=expected):
            scienceqa.convert(tmp_path, "train")
    with pytest.raises(DiskError, match="nowhere"):
        scienceqa.convert(write(tmp_path, {"1": PROBLEM}), "train", out=tmp_path / "nowhere" / "out.json")
