"""What a run cost and how well it was served."""

import pytest

from camml.evaluation.measures import Stopwatch, hits, measures
from camml.evaluation.task import Item


def record(*right: bool, tokens: int = 10) -> dict:
    return {"prompt_tokens": tokens, "new_tokens": 2, "retrieved": [{"id": "s", "score": 1, "right": r} for r in right]}


def items(*clusters: str) -> list[Item]:
    return [Item(str(number), number, "?", cluster=cluster) for number, cluster in enumerate(clusters)]


def test_hits_are_counted_among_the_first_k_and_by_cluster() -> None:
    records = [record(False, True, False), record(True, False, False), record(False, False, False)]
    assert hits(items("a", "b", "c"), records) == {"hit@1": pytest.approx(100 / 3), "hit@3": pytest.approx(200 / 3)}
    assert hits(items("a", "b", "b"), records) == {"hit@1": 25.0, "hit@3": 75.0}


def test_hits_are_left_out_where_they_are_not_known() -> None:
    assert hits(items("a"), [record()]) == hits([], []) == {}
    assert hits(items("a"), [{"retrieved": [{"id": "s", "score": 1}]}]) == {}


def test_seconds_are_those_of_questions_that_were_worked_on() -> None:
    watches = [{"retrieved": 2, "retrieving": 1.0, "answered": 2, "answering": 3.0, "repeated": 0},
               {"retrieved": 2, "retrieving": 0.0, "answered": 0, "answering": 0.0}]  # fmt: skip
    result = measures(items("a", "b"), [record(tokens=10), record(tokens=20)], watches, "cpu")
    assert result["tokens"] == {"prompt": 15, "answer": 2}
    assert result["seconds"] == {"retrieve": 0.25, "answer": 1.5, "questions_answered": 2, "questions_repeated": 0,
                                 "device": "cpu"}  # fmt: skip
    nothing = measures(items("a"), [record()], [], None)["seconds"]
    assert (nothing["retrieve"], nothing["answer"]) == (None, None)
    assert set(watches[0]) == set(Stopwatch.__slots__)
