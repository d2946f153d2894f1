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
from camml.evaluation.score import score, write_submission
from camml.evaluation.task import Item, Settings
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
        (
            '{"question_id": 1, "text": true}',
            r"entry 1 \(question 1\): the answer under 'text' should be a text, not true",
        ),
        ('{"question_id": 1, "text": null}', r"\(question 1\): the answer under 'text' is null; .* leave the line out"),
        ('{"a": null}', "the answer to a is null; write a text, or leave it out"),
        ('{"a": NaN}', "the answer to a is null"),
        ('{"a": [5]}', r"the answer to a should be a text, not \[5\]"),
        ('{"question_id": 0.5, "text": "a"}', "entry 1 has no id"),
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


def _read(tmp_path: Path, value: object) -> list[tuple[str, str]]:
    return [(entry.question_id, entry.text) for entry in read_answers(document(tmp_path / "a.json", value))]


def test_ids_and_answers_as_numbers_of_tables(tmp_path: Path) -> None:
    records = [
        {"question_id": 0.0, "answer": 3},
        {"question_id": 1.0, "answer": 3.0},
        {"question_id": 2, "answer": 0.5},
    ]
    assert _read(tmp_path, records) == [("0", "3"), ("1", "3"), ("2", "0.5")]
    assert _read(tmp_path, {"0": 3, "1": "b"}) == [("0", "3"), ("1", "b")]


def test_white_space_around_an_answer_is_none_of_it(tmp_path: Path) -> None:
    assert _read(tmp_path, [answer(1, " red.\n"), answer(2, "\t")]) == [("1", "red."), ("2", "")]
    assert _read(tmp_path, {"1": "A\n"}) == [("1", "A")]


@pytest.mark.parametrize("name", ["gqa", "seed_bench", "scienceqa", "pope", "okvqa", "aokvqa", "mme"])
def test_white_space_costs_no_points(name: str, benchmarks: Benchmarks, tmp_path: Path) -> None:
    task = tasks.find(name)
    key = task.answer_keys[1]
    records = [record | {key: f" {record[key]}\n"} for record in benchmarks[1][name]]
    results = [score(name, benchmarks[0], lines(tmp_path / "a.jsonl", its), resamples=0)
               for its in (records, benchmarks[1][name])]  # fmt: skip
    assert results[0].values == results[1].values


def test_a_question_file_with_answers_added_is_scored_by_the_answers(benchmarks: Benchmarks, tmp_path: Path) -> None:
    for name in ("gqa", "textvqa"):
        task = tasks.find(name)
        right = {
            core_question(record["prompt"]) or record["question_id"]: record["text"] for record in benchmarks[1][name]
        }
        items = task.read(task.place(benchmarks[0]))
        records = [
            dict(item.record) | {"answer": right.get(core_question(item.text)) or right[item.question_id]}
            for item in items
        ]
        result = score(name, benchmarks[0], lines(tmp_path / "a.jsonl", records), resamples=0)
        assert result.values["accuracy"] == 100


def test_two_answers_in_one_line_are_refused(tmp_path: Path) -> None:
    items = [Item("1", 1, "One?\nBriefly.")]

    def said(record: dict[str, object]) -> dict[str, str]:
        return match_answers(items, read_answers(lines(tmp_path / "a.jsonl", [{"question_id": 1, **record}])), PLACE)

    assert said({"text": "a", "answer": "a "}) == {"1": "a"}
    assert said({"text": "One?\nBriefly.", "answer": "a"}) == {"1": "a"}
    with pytest.raises(SampleError, match=r"entry 1 \(question 1\) .* text 'a' and answer 'b'; leave one of them"):
        said({"text": "a", "answer": "b"})
    with pytest.raises(SampleError, match="caption 'b' and answer 'c'; leave one"):
        said({"text": "One?\nBriefly.", "caption": "b", "answer": "c"})


@pytest.mark.parametrize("name", ["textvqa", "aokvqa", "mmvet", "gqa", "seed_bench"])
def test_what_is_written_for_a_server_is_scored_here_too(name: str, benchmarks: Benchmarks, tmp_path: Path) -> None:
    data = benchmarks[0]
    settings = Settings(grades=data / "mm-vet" / "grades.json") if name == "mmvet" else Settings()
    own, sent = (
        lines(tmp_path / "own.jsonl", benchmarks[1][name]),
        tmp_path / f"sent{tasks.find(name).submission_suffix}",
    )
    write_submission(name, data, own, sent)
    first, again = (score(name, data, file, settings=settings, resamples=0) for file in (own, sent))
    assert again.values[again.headline] == first.values[first.headline] == 100


def test_pictures_name_questions_where_each_has_its_own() -> None:
    items = [Item(str(n), n, "?", record={"image": f"{n % 3}.jpg"}) for n in range(3)]
    given_ = [Answer("1.jpg", "b", "", 1), Answer("0.jpg", "a", "", 2), Answer("2.jpg", "c", "", 3)]
    assert match_answers(items, given_, PLACE) == {"0": "a", "1": "b", "2": "c"}
    shared = [*items, Item("3", 3, "?", record={"image": "0.jpg"})]
    with pytest.raises(SampleError, match="answers 3 questions that the task does not have"):
        match_answers(shared, given_, PLACE)


def test_the_list_of_vizwiz_is_read(tmp_path: Path) -> None:
    assert _read(tmp_path, [{"image": "a.jpg", "answer": "red"}]) == [("a.jpg", "red")]


def test_the_two_answers_of_aokvqa_must_name_the_same_choice(benchmarks: Benchmarks, tmp_path: Path) -> None:
    task = tasks.find("aokvqa")
    items = task.read(task.place(benchmarks[0]))
    choices = items[0].truth["choices"]
    for direct, error in (("A", False), (choices[0], False), (choices[1], True), ("a thing", True)):
        file = document(tmp_path / "a.json", {items[0].id: {"multiple_choice": choices[0], "direct_answer": direct}})
        if error:
            with pytest.raises(SampleError, match=f"direct_answer '{direct}' and multiple_choice '{choices[0]}'"):
                match_answers(items, read_answers(file), file, "skip")
        else:
            assert match_answers(items, read_answers(file), file, "skip") == {items[0].id: direct}


@pytest.mark.parametrize("beside", [{"answer": ["yes", "no"]}, {"answer": True}, {"caption": {"gt": 1}}])
def test_what_stands_beside_an_answer_and_is_no_text_changes_nothing(tmp_path: Path, beside: dict[str, object]) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps({"question_id": 0, "text": "yes"} | beside))
    [answer] = read_answers(path)
    assert (answer.text, dict(answer.candidates)) == ("yes", {})
