"""Lists of several ways become one, by how far each neighbor stands out."""

import numpy as np
import pytest

from camml.ranking import FEWEST, SECOND_SEARCH_MARGIN, fuse, merge, usual, weigh
from camml.types import Context, Neighbor, Sample


def context(**scores: float) -> Context:
    """Neighbors by id, in the order given."""
    return tuple(Neighbor(Sample(name, name), score) for name, score in scores.items())


def ids(neighbors: Context) -> list[str]:
    return [neighbor.sample.id for neighbor in neighbors]


def test_who_stands_out_most_comes_first() -> None:
    pictures, texts = context(a=0.9, b=0.85, c=0.8), context(d=0.4, e=0.2, a=0.1)
    assert ids(merge([pictures, texts], [0.8, 0.1])) == ["d", "a", "e", "b", "c"]
    assert ids(merge([pictures, texts], [0.3, 0.3])) == ["a", "b", "c", "d", "e"]


def test_each_keeps_the_score_of_where_it_stands_out_most() -> None:
    merged = merge([context(a=0.9, b=0.2), context(b=0.6, a=0.5)], [0.8, 0.1])
    assert {neighbor.sample.id: neighbor.score for neighbor in merged} == {"b": 0.6, "a": 0.5}


def test_what_is_not_clear_in_the_second_way_stays_behind_the_first() -> None:
    assert ids(merge([context(a=0.5), context(b=0.5 + SECOND_SEARCH_MARGIN / 2)], [0.5, 0.5])) == ["a", "b"]
    assert ids(merge([context(a=0.5), context(b=0.5 + SECOND_SEARCH_MARGIN * 2)], [0.5, 0.5])) == ["b", "a"]


def test_the_first_k_of_each_list_are_enough() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        lists = [
            context(
                **{str(n): float(s) for n, s in zip(random.permutation(30), -np.sort(-random.random(30)), strict=True)}
            )
            for _ in range(3)
        ]
        levels = random.random(3).tolist()
        everything = merge(lists, levels)
        for k in (1, 3, 10):
            assert merge([ranked[:k] for ranked in lists], levels)[:k] == everything[:k]


def test_a_few_right_samples_do_not_raise_what_is_usual() -> None:
    query = np.array([1, 0], np.float32)
    others = np.tile(np.array([0.1, 1], np.float32), (400, 1))
    right = np.tile(query, (FEWEST, 1))
    assert usual(query, np.concatenate([others, right])) == pytest.approx(0.1)
    assert usual(query, others[:1]) == pytest.approx(0.1)


def test_fuse_keeps_the_order_of_equals() -> None:
    first, other = context(a=0.5, b=0.5), context(b=0.5, a=0.5)
    assert ids(fuse([first, other])) == ["a", "b"]
    assert fuse([]) == ()


PICTURES, WORDS = context(a=0.9, b=0.8), context(b=0.5, c=0.45)
COSINES = [{"a": 0.9, "b": 0.8}, {"a": 0.1, "b": 0.5, "c": 0.45}]
"""Of all samples in each of the two lists; c has no picture."""


@pytest.mark.parametrize(("weights", "order"), [((1, 1), "bac"), ((1, 0), "abc"), ((0, 1), "bca")])
def test_weights_add_up_how_far_each_stands_out(weights: tuple[float, float], order: str) -> None:
    assert ids(weigh([PICTURES, WORDS], [0.5, 0.2], COSINES, weights)) == list(order)


def test_weighed_neighbors_keep_the_score_of_where_they_stand_out_most() -> None:
    result = weigh([PICTURES, WORDS], [0.5, 0.2], COSINES, [1, 3])
    assert {neighbor.sample.id: neighbor.score for neighbor in result} == {"a": 0.9, "b": 0.5, "c": 0.45}


def test_what_is_usual_in_a_list_counts_for_nothing_in_it() -> None:
    lists, cosines = [context(a=0.9), context(d=0.4)], [{"a": 0.9}, {"d": 0.4}]
    assert ids(weigh(lists, [0.85, 0.1], cosines, [1.0, 1.0])) == ["d", "a"]
    assert ids(weigh(lists, [0.3, 0.3], cosines, [1.0, 1.0])) == ["a", "d"]
