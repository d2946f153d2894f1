"""A draw of questions."""

from collections import Counter

from camml.evaluation.draw import drawn
from camml.evaluation.task import Item

ITEMS = [Item(f"{cluster}{n}", n, "?", cluster=cluster) for cluster, size in (("a", 9), ("b", 2), ("c", 5))
         for n in range(size)]  # fmt: skip


def test_without_a_seed_the_first_are_taken() -> None:
    assert drawn(ITEMS, 3) == ITEMS[:3]
    assert drawn(ITEMS, None, 1) == drawn(ITEMS, 99, 1) == ITEMS


def test_with_a_seed_clusters_are_drawn_from_alike() -> None:
    for limit, sizes in ((3, [1, 1, 1]), (6, [2, 2, 2]), (10, [4, 2, 4])):
        assert sorted(Counter(item.cluster for item in drawn(ITEMS, limit, 7)).values()) == sorted(sizes)
    assert len({item.cluster for item in drawn(ITEMS, 2, 7)}) == 2


def test_a_draw_is_repeatable_in_order_and_part_of_a_larger_one() -> None:
    small, large = drawn(ITEMS, 5, 7), drawn(ITEMS, 9, 7)
    assert small == drawn(ITEMS, 5, 7)
    assert {item.id for item in small} <= {item.id for item in large}
    assert [item for item in ITEMS if item in large] == large
    assert len({tuple(item.id for item in drawn(ITEMS, 3, seed)) for seed in range(20)}) > 3


def test_clusters_that_are_scored_as_a_whole_are_drawn_as_a_whole() -> None:
    for seed in (None, 7):
        sizes = {limit: len(drawn(ITEMS, limit, seed, whole=True)) for limit in range(1, 17)}
        assert all(0 < size <= max(limit, 9) for limit, size in sizes.items())
        for limit in range(1, 17):
            chosen = drawn(ITEMS, limit, seed, whole=True)
            clusters = {item.cluster for item in chosen}
            assert chosen == [item for item in ITEMS if item.cluster in clusters]
            assert {item.id for item in chosen} <= {item.id for item in drawn(ITEMS, limit + 1, seed, whole=True)}
    assert [len(drawn(ITEMS, limit, whole=True)) for limit in (1, 9, 10, 11, 15, 16)] == [9, 9, 9, 11, 11, 16]
    assert len({tuple(item.id for item in drawn(ITEMS, 3, seed, whole=True)) for seed in range(20)}) == 3
