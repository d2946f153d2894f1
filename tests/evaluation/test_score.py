"""Answers of every task scored end to end, and two scores compared."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from camml.errors import OptionError, SampleError
from camml.evaluation import task as tasks
from camml.evaluation.metrics.captions import require_java
from camml.evaluation.score import compare, nested, score, write_submission
from camml.evaluation.task import Settings
from tests.layouts import Records, answer, document, lines

Benchmarks = tuple[Path, dict[str, Records]]
CAPTIONS = {"coco_caption", "flickr30k_caption"}
HIDDEN = {"vqav2", "vizwiz"}
BEST = {"pope": 1.0, "mme": 400.0}


def _settings(name: str, data: Path) -> Settings:
    return Settings(grades=data / "mm-vet" / "grades.json") if name == "mmvet" else Settings()


@pytest.mark.parametrize("name", sorted(set(tasks.names()) - CAPTIONS - HIDDEN))
def test_right_answers_score_full_marks(name: str, benchmarks: Benchmarks, answer_file: Callable[[str], Path]) -> None:
    data, answers = benchmarks
    result = score(name, data, answer_file(name), settings=_settings(name, data), resamples=50)
    assert result.values[result.headline] == pytest.approx(BEST.get(name, 100.0))
    assert (result.answered, result.questions) == (len(answers[name]), len(answers[name]))
    assert result.interval is not None
    assert result.interval.high == pytest.approx(result.values[result.headline])
    assert set(result.per_item.values()) == {1.0}
    assert json.loads(json.dumps(result.document()))["values"]


def test_the_annotations_of_vizwiz_score_its_val(benchmarks: Benchmarks, answer_file, tmp_path: Path) -> None:
    """They have no question ids: a picture has one question."""
    data = tmp_path / "eval"
    shutil.copytree(benchmarks[0] / "vizwiz", data / "vizwiz")
    notes = [
        {"image": f"{n}.png", "question": f"What is {n}?", "answer_type": "other", "answerable": 1,
         "answers": [{"answer": text, "answer_confidence": "yes"}] * 10}
        for n, text in enumerate(("yes", "2", "red bus"))
    ]  # fmt: skip
    document(data / "vizwiz" / "annotations.json", notes)
    result = score("vizwiz", data, answer_file("vizwiz"), resamples=0)
    assert result.values == {"accuracy": 100, "answer_type/other": 100}
    document(data / "vizwiz" / "annotations.json", notes[1:])
    with pytest.raises(SampleError, match="has no answer for question 0 and 0 others"):
        score("vizwiz", data, answer_file("vizwiz"), resamples=0)


def test_the_test_split_of_textvqa_has_no_truth_and_a_submission(benchmarks: Benchmarks, answer_file, tmp_path) -> None:
    data = tmp_path / "eval"
    shutil.copytree(benchmarks[0] / "textvqa", data / "textvqa")
    file = data / "textvqa" / "TextVQA_0.5.1_val.json"
    entries = json.loads(file.read_text())["data"]
    document(file, {"data": [{key: entry[key] for key in entry if key != "answers"} for entry in entries]})
    answers = answer_file("textvqa")
    with pytest.raises(SampleError, match="no true answers for 3 of 3 questions here; write the submission instead"):
        score("textvqa", data, answers)
    sent = tmp_path / "sent.json"
    assert write_submission("textvqa", data, answers, sent) == 3
    assert [entry["question_id"] for entry in json.loads(sent.read_text())] == [34600, 34601, 34602]
    with pytest.raises(SampleError, match="no true answers"):  # read back by the server's ids
        score("textvqa", data, sent)
    document(file, {"data": [{key: entry[key] for key in ("image_id", "question", "answers")} for entry in entries]})
    assert score("textvqa", data, answers, resamples=0).values == {"accuracy": 100}
    with pytest.raises(SampleError, match="no question_id for question a1 and 2 others"):
        write_submission("textvqa", data, answers, sent)


@pytest.mark.parametrize("answers", [[None], 5, [], [["a"]]])
def test_answers_of_textvqa_that_are_no_texts_are_refused(
    answers, benchmarks: Benchmarks, answer_file, tmp_path
) -> None:
    data = tmp_path / "eval"
    shutil.copytree(benchmarks[0] / "textvqa", data / "textvqa")
    file = data / "textvqa" / "TextVQA_0.5.1_val.json"
    entries = json.loads(file.read_text())["data"]
    document(file, {"data": [entry | {"answers": [1998] * 10} for entry in entries]})
    assert score("textvqa", data, answer_file("textvqa"), resamples=0).per_item["a1#2"] == 1
    document(file, {"data": [entry | {"answers": answers} for entry in entries]})
    with pytest.raises(SampleError, match=r"json, question a1 should have answers as texts, not "):
        score("textvqa", data, answer_file("textvqa"))


@pytest.mark.parametrize("name", sorted(set(tasks.names()) - CAPTIONS - HIDDEN - {"mmvet"}))
def test_empty_answers_score_nothing(name: str, benchmarks: Benchmarks, tmp_path: Path) -> None:
    """All but POPE, whose rule reads silence as yes."""
    records = [dict.fromkeys(record, "") | dict(list(record.items())[:1]) for record in benchmarks[1][name]]
    result = score(name, benchmarks[0], lines(tmp_path / "empty.jsonl", records), resamples=20)
    if name == "pope":
        assert result.values["yes_ratio/mean"] == 1
        assert result.values["f1/mean"] == pytest.approx(2 / 3)
    else:
        assert result.values[result.headline] == 0


@pytest.mark.slow  # METEOR takes 11 seconds to start
@pytest.mark.parametrize("name", sorted(CAPTIONS))
def test_captions_score_end_to_end(name: str, benchmarks: Benchmarks, answer_file: Callable[[str], Path]) -> None:
    try:
        require_java()
    except OptionError as error:
        pytest.skip(str(error))
    result = score(name, benchmarks[0], answer_file(name), resamples=20)
    assert result.values["CIDEr"] == pytest.approx(10)  # the most that one reference per picture gives
    assert result.values["Bleu_4"] == pytest.approx(1)


def test_hidden_answers_point_to_the_submission(benchmarks: Benchmarks, answer_file: Callable[[str], Path]) -> None:
    with pytest.raises(SampleError, match=r"no true answers for 3 of 3 questions here; write the submission instead"):
        score("vqav2", benchmarks[0], answer_file("vqav2"))


def test_hidden_answers_score_where_annotations_are_put_beside_them(tmp_path: Path) -> None:
    folder = tmp_path / "vqav2"
    lines(folder / "llava_vqav2_mscoco_test-dev2015.jsonl", [{"question_id": 1, "image": "x.jpg", "text": "?"}])
    answers = [{"answer": "red", "answer_id": n} for n in range(10)]
    document(
        folder / "annotations.json", {"annotations": [{"question_id": 1, "answer_type": "other", "answers": answers}]}
    )
    result = score("vqav2", tmp_path, lines(tmp_path / "a.jsonl", [answer(1, "Red.")]), resamples=0)
    assert result.values == {"accuracy": 100, "answer_type/other": 100}
    assert result.interval is None


def test_groups_of_scienceqa_are_those_of_its_paper(benchmarks: Benchmarks, answer_file: Callable[[str], Path]) -> None:
    result = score("scienceqa", benchmarks[0], answer_file("scienceqa"), resamples=0)
    groups = {name for name in result.values if "/" in name}
    assert groups == {"context/IMG", "context/NO", "context/TXT", "grade/G1-6", "grade/G7-12", "subject/LAN",
                      "subject/NAT", "subject/SOC"}  # fmt: skip


def test_partial_answers_are_counted_as_asked(benchmarks: Benchmarks, tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", benchmarks[1]["gqa"][:2])
    with pytest.raises(SampleError, match="lacks the answers to 1 of 3 questions: 202"):
        score("gqa", benchmarks[0], path)
    result = score("gqa", benchmarks[0], path, missing="skip", resamples=0)
    assert (result.values["accuracy"], result.answered, result.questions) == (100, 2, 3)
    result = score("gqa", benchmarks[0], path, missing="wrong", resamples=0)
    assert (result.values["accuracy"], result.answered) == (pytest.approx(200 / 3), 3)


def test_a_part_of_what_is_scored_together_is_no_full_score(benchmarks: Benchmarks, tmp_path: Path) -> None:
    """MMBench with the unrotated questions alone, MME with one question of each picture: the others may be wrong."""
    rotations = [record for record in benchmarks[1]["mmbench"] if record["question_id"] < 1_000_000]
    result = score("mmbench", benchmarks[0], lines(tmp_path / "a.jsonl", rotations), missing="skip", resamples=20)
    assert "accuracy" not in result.values
    assert result.interval is None
    assert result.notes
    pairs = [record for record in benchmarks[1]["mme"] if record["text"] == "Yes"]
    result = score("mme", benchmarks[0], lines(tmp_path / "b.jsonl", pairs), missing="skip", resamples=20)
    assert (result.values["perception"], result.values["cognition"]) == (200, 100)
    assert len(result.notes) == 1


@pytest.mark.parametrize(("name", "best"), [("mme", 400), ("scienceqa", 100), ("pope", 1)])
def test_all_right_is_all_right_in_every_resample(name: str, best: float, benchmarks: Benchmarks, answer_file) -> None:
    result = score(name, benchmarks[0], answer_file(name), resamples=400)
    assert result.values[result.headline] == best
    assert result.interval is not None
    assert (result.interval.low, result.interval.high) == (pytest.approx(best), pytest.approx(best))


def test_no_answers_at_all_are_an_error(benchmarks: Benchmarks, tmp_path: Path) -> None:
    with pytest.raises(SampleError, match="answers none of the 3 questions"):
        score("gqa", benchmarks[0], lines(tmp_path / "a.jsonl", []), missing="skip")


def test_a_setting_of_another_task_is_refused(benchmarks: Benchmarks, answer_file: Callable[[str], Path]) -> None:
    for name, uses in (("gqa", "it has none"), ("scienceqa", "it uses random_guess")):
        with pytest.raises(OptionError, match=f"{name} has no setting answer_boxes; {uses}"):
            score(name, benchmarks[0], answer_file(name), settings=Settings(answer_boxes="pixels"))


def test_a_question_without_number_has_no_interval(benchmarks: Benchmarks, tmp_path: Path) -> None:
    """Only questions without a picture are answered, and the headline is that of the others."""
    path = lines(tmp_path / "a.jsonl", benchmarks[1]["scienceqa"][::2])
    result = score("scienceqa", benchmarks[0], path, missing="skip")
    assert result.headline not in result.values
    assert result.interval is None


def _written(folder: Path, name: str, data: Path, records: Records) -> Path:
    result = score(name, data, lines(folder / "answers.jsonl", records), resamples=0)
    return document(folder / "score.json", result.document())


def test_runs_are_compared_item_by_item(benchmarks: Benchmarks, tmp_path: Path) -> None:
    data, answers = benchmarks
    worse = [*answers["gqa"][:2], answers["gqa"][2] | {"text": "cat"}]
    result, other = (
        _written(tmp_path / "one", "gqa", data, answers["gqa"]),
        _written(tmp_path / "two", "gqa", data, worse),
    )
    first, second, comparison = compare(result, other.parent)  # a file, and a folder
    assert (first["values"]["accuracy"], second["values"]["accuracy"]) == (100, pytest.approx(200 / 3))
    assert (comparison.difference, comparison.better, comparison.worse, comparison.test) == (
        pytest.approx(1 / 3),
        1,
        0,
        "exact McNemar",
    )


def test_a_score_says_by_which_truth(benchmarks: Benchmarks, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(benchmarks[0] / "gqa", data / "gqa")
    first = score("gqa", data, lines(tmp_path / "a.jsonl", benchmarks[1]["gqa"]), resamples=0)
    assert len(first.truth) == 64
    assert score("gqa", data, lines(tmp_path / "b.jsonl", benchmarks[1]["gqa"][::-1]), resamples=0).truth == first.truth
    file = data / "gqa" / "data" / "testdev_balanced_questions.json"
    file.write_text(file.read_text().replace('"left"', '"right"'))
    assert score("gqa", data, tmp_path / "a.jsonl", resamples=0).truth != first.truth


def test_runs_that_cannot_be_compared_are_said(benchmarks: Benchmarks, tmp_path: Path) -> None:
    data, answers = benchmarks
    result = _written(tmp_path / "one", "gqa", data, answers["gqa"])
    other = _written(tmp_path / "two", "okvqa", data, answers["okvqa"])
    with pytest.raises(SampleError, match=r"is a run of gqa, .* of okvqa"):
        compare(result, other)
    first = lines(tmp_path / "p.jsonl", answers["gqa"][:1])
    partial = document(tmp_path / "p.json", score("gqa", data, first, missing="skip", resamples=0).document())
    with pytest.raises(SampleError, match=r"2 items are in only one of .*: 201, 202"):
        compare(result, partial)
    for value in ([], {}, {"task": "gqa"}):
        with pytest.raises(SampleError, match="is not a score"):
            compare(result, document(tmp_path / "bad.json", value))


@pytest.mark.parametrize(
    "damage",
    [
        {"per_item": {"201": None}}, {"per_item": {"201": "1"}}, {"per_item": [1, 2]}, {"clusters": []},
        {"clusters": {"201": ["a"]}}, {"values": 1}, {"headline": None}, {"task": []},
    ],
    ids=str,
)  # fmt: skip
def test_a_damaged_score_is_named(damage: dict[str, object], tmp_path: Path) -> None:
    whole = {"task": "gqa", "headline": "a", "values": {"a": 1}, "per_item": {"201": 1.0}, "clusters": {"201": "b"}}
    first = document(tmp_path / "whole.json", whole)
    assert compare(first, first)[2].items == 1
    with pytest.raises(SampleError, match=r"damaged\.json is not a score; write one with"):
        compare(first, document(tmp_path / "damaged.json", whole | damage))


def test_names_of_breakdowns_nest() -> None:
    assert nested({"a": 1, "b/c": 2, "b/d e": 3}) == {"a": 1, "b": {"c": 2, "d e": 3}}


def test_a_task_without_a_submission_says_so(benchmarks: Benchmarks, answer_file: Callable[[str], Path]) -> None:
    with pytest.raises(OptionError, match="POPE has no submission format"):
        write_submission("pope", benchmarks[0], answer_file("pope"), Path("x"))
