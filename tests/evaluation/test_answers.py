"""Answer files of several makers, matched to items."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from camml.errors import CaMMLError, OptionError, SampleError
from camml.evaluation import task as tasks
from camml.evaluation.answers import Answer, answer_record, core_question, match_answers, read_answers
from camml.evaluation.questions import unique
from camml.evaluation.task import Item
from tests.layouts import Records, answer, document, lines

ITEMS = [Item("1", 1, "One?"), Item("2", 2, "Two?"), Item("3", 3, "Three?")]
PLACE = Path("answers.jsonl")
Benchmarks = tuple[Path, dict[str, Records]]


@pytest.mark.parametrize(
    "records",
    [
        [answer(1, "a"), answer(2, "b")],
        [{"image_id": 1, "caption": "a"}, {"image_id": 2, "caption": "b"}],
        [{"obj_id": 1, "predict_boxes": "a"}, {"obj_id": 2, "predict_boxes": "b"}],
        [{"questionId": "1", "prediction": "a"}, {"questionId": "2", "prediction": "b"}],
        [{"question_id": "1", "answer": "a"}, {"question_id": 2, "answer": "b"}],
    ],
)
def test_answers_of_every_maker(tmp_path: Path, records: list[dict[str, object]]) -> None:
    for path in (lines(tmp_path / "a.jsonl", records), document(tmp_path / "a.json", records)):
        assert [(answer.question_id, answer.text) for answer in read_answers(path)] == [
            ("1", "a"),
            ("2", "b"),
        ]


def test_an_object_from_id_to_text(tmp_path: Path) -> None:
    for indent in (None, 2):
        path = tmp_path / "a.json"
        path.write_text(json.dumps({"v1_0": "a", "v1_1": "b"}, indent=indent))
        assert [(answer.question_id, answer.text) for answer in read_answers(path)] == [
            ("v1_0", "a"),
            ("v1_1", "b"),
        ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a"}\n{"text": "b"}', "entry 1 has no id; expected one of: question_id, image_id"),
        ('{"question_id": 1}', r"entry 1 \(question 1\) has no answer text"),
        ('{"question_id": 1, "text": 5}', "has no answer text"),
        ('{"a": 5}', "the answer to a should be a text, not 5"),
        ("[1]", "entry 1 should be a JSON object"),
        ('{"question_id": 1, "text": "a"}\nnope', "line 2 is not JSON"),
        ("5", "line 1 should be a JSON object"),
        ('{"1": "yes", "1": "no"}', "'1' is there twice"),
        ('{"1": "yes",\n"1": "no"}', "'1' is there twice"),
        ('[{"question_id": 1, "question_id": 2, "text": "a"}]', "'question_id' is there twice"),
    ],
)
def test_broken_answers_are_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    with pytest.raises(SampleError, match=message):
        read_answers(path)


@pytest.mark.long
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["question_id", "text", "x"]), inner, max_size=3)
        ),
    )
)
def test_any_json_is_read_or_refused(tmp_path: Path, value: object) -> None:
    try:
        result = read_answers(document(tmp_path / "a.json", value))
    except CaMMLError:
        return
    assert all(isinstance(entry.text, str) for entry in result)


def _answers(*pairs: tuple[object, str]) -> list[Answer]:
    return [Answer(str(key), text, "", place) for place, (key, text) in enumerate(pairs, start=1)]


def test_answers_come_in_the_order_of_the_items() -> None:
    result = match_answers(ITEMS, _answers((3, "c"), (1, "a"), (2, "b")), PLACE)
    assert list(result.items()) == [("1", "a"), ("2", "b"), ("3", "c")]


def test_missing_answers_are_an_error_wrong_or_skipped() -> None:
    given_ = _answers((2, "b"))
    with pytest.raises(SampleError, match=r"lacks the answers to 2 of 3 questions: 1, 3; `--missing skip`"):
        match_answers(ITEMS, given_, PLACE)
    assert match_answers(ITEMS, given_, PLACE, "wrong") == {"1": "", "2": "b", "3": ""}
    assert match_answers(ITEMS, given_, PLACE, "skip") == {"2": "b"}
    with pytest.raises(OptionError, match="'maybe'; there are: error, wrong, skip"):
        match_answers(ITEMS, given_, PLACE, "maybe")


def test_extra_and_repeated_answers_are_named() -> None:
    full = ((1, "a"), (2, "b"), (3, "c"))
    with pytest.raises(SampleError, match=r"answers 1 questions that the task does not have: 9 \(entry 4\)"):
        match_answers(ITEMS, _answers(*full, (9, "x")), PLACE)
    with pytest.raises(SampleError, match=r"answers question 2 2 times \(entries 2, 4\)"):
        match_answers(ITEMS, _answers(*full, (2, "b")), PLACE)


SHORT = "\nAnswer the question using a single word or phrase."
TWINS = unique([Item("p", "p", f"Is it?{SHORT}"), Item("p", "p", f"Is it not?{SHORT}")])


def test_prompts_tell_questions_of_one_id_apart() -> None:
    assert [item.id for item in TWINS] == ["p", "p#2"]
    swapped = [Answer("p", "No", f"Is it not?{SHORT}", 1), Answer("p", "Yes", "is it? ", 2)]
    assert match_answers(TWINS, swapped, PLACE) == {"p": "Yes", "p#2": "No"}
    assert match_answers(TWINS, _answers(("p", "Yes"), ("p", "No")), PLACE) == {"p": "Yes", "p#2": "No"}


def test_prompts_that_do_not_fit_are_named() -> None:
    with pytest.raises(SampleError, match="entry 1: question p is not asked as 'Was it"):
        match_answers(TWINS, [Answer("p", "x", "Was it?", 1)], PLACE)
    twice = [Answer("p", "x", "Is it?", 1), Answer("p", "y", "Is it?", 2)]
    with pytest.raises(SampleError, match="entry 2: question p is answered twice"):
        match_answers(TWINS, twice, PLACE)


@pytest.mark.parametrize("missing", ["error", "wrong", "skip"])
@pytest.mark.parametrize("prompt", ["", "Is it?"])
def test_some_answers_of_one_id_need_prompts(missing: str, prompt: str) -> None:
    items = unique([*TWINS, Item("p", "p", "And now?"), Item("q", "q", "Else?")])
    given_ = [Answer("p", "No", "", 1), Answer("p", "Yes", prompt, 2), Answer("q", "Yes", "", 3)]
    with pytest.raises(SampleError, match=r"question p is asked 3 times and has 2 answers .* without prompts"):
        match_answers(items, given_, PLACE, missing)


def test_some_answers_of_one_id_are_told_apart_by_prompts() -> None:
    given_ = [Answer("p", "No", f"Is it not?{SHORT}", 1)]
    assert match_answers(TWINS, given_, PLACE, "skip") == {"p#2": "No"}
    assert match_answers(TWINS, [], PLACE, "wrong") == {"p": "", "p#2": ""}


@pytest.mark.parametrize(
    "prompt",
    [
        f"What Brand?{SHORT}",
        f"What brand?\nReference OCR token: A, B{SHORT}",
        f"Reference OCR token: A, B\nWhat brand?{SHORT}",
        "OCR tokens: A, B. Question: What brand? Short answer:",
        "what brand?",
    ],
)
def test_the_question_in_every_prompt_form_of_textvqa(prompt: str) -> None:
    assert core_question(prompt) == "what brand?"


@pytest.mark.parametrize("name", tasks.names())
def test_our_answers_are_those_of_the_official_scripts(name: str, benchmarks: Benchmarks, tmp_path: Path) -> None:
    """The same ids and keys as the official files, and they come back as they were."""
    data, official = benchmarks
    task = tasks.find(name)
    items = task.read(task.place(data))
    written = [answer_record(task, item, f"said {item.id}", "m") for item in items]
    assert {tuple(record) for record in written} == {tuple(record) for record in official[name]}
    ids = [[record[task.answer_keys[0]] for record in records] for records in (written, official[name])]
    assert sorted(map(str, ids[0])) == sorted(map(str, ids[1]))
    back = match_answers(items, read_answers(lines(tmp_path / "a.jsonl", written)), PLACE)
    assert back == {item.id: f"said {item.id}" for item in items}
    if name.startswith("scienceqa"):
        assert [record["prompt"].startswith("<image>\n") for record in written] == [False, True, False, True]
