"""GQA's accuracy and breakdowns."""

from camml.evaluation.metrics.gqa import gqa_answer, measure, reasoning_steps
from camml.evaluation.task import Item, Settings


def _item(key: str, answer: str, structural: str) -> Item:
    steps = [{"operation": "select", "argument": "dog"}, {"operation": "verify color", "argument": "red"},
             {"operation": "query", "argument": "name"}, {"operation": "exist", "argument": "?"}]  # fmt: skip
    types = {"structural": structural, "semantic": "attr"}
    question = {"question": "Is the dog red?", "answer": answer, "types": types, "semantic": steps}
    return Item(key, key, "", truth=question)


def test_answers_lose_trailing_periods_and_case() -> None:
    assert [gqa_answer(text) for text in ("Yes..", "T.V.", " no")] == ["yes", "t.v", " no"]


def test_steps_that_only_read_off_the_answer_do_not_count() -> None:
    assert reasoning_steps(_item("1", "yes", "verify").truth) == 2


def test_query_questions_are_open_and_all_others_binary() -> None:
    items = [_item("1", "yes", "verify"), _item("2", "red", "query"), _item("3", "no", "logical")]
    result = measure(items, {"1": "Yes", "2": "red.", "3": "yes"}, Settings())
    assert result.values["binary"] == 50
    assert result.values["open"] == 100
    assert round(result.values["accuracy"], 6) == round(200 / 3, 6)
    assert result.values["structural/verify"] == 100
    assert result.values["steps/2"] == result.values["words/4"]


def test_breakdowns_need_their_fields() -> None:
    result = measure([Item("1", "1", "", truth={"answer": "yes"})], {"1": "yes"}, Settings())
    assert result.values == {"accuracy": 100}
