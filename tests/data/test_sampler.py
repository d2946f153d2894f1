"""The order of rows."""

import pytest

from camml.data.sampler import GroupedSampler

LENGTHS = [(n * 37) % 90 + 10 for n in range(67)]
IMAGES = [n % 3 != 0 for n in range(67)]


def order(epoch: int = 0, seed: int = 1, *, group: bool = True) -> list[int]:
    sampler = GroupedSampler(LENGTHS, IMAGES, 8, seed, group=group)
    sampler.epoch = epoch
    assert len(sampler) == 67
    keys = list(sampler)
    assert {key[0] for key in keys} == {epoch}
    return [row for _, row in keys]


@pytest.mark.parametrize("group", [True, False])
def test_every_row_comes_once_in_an_order_of_seed_and_epoch(group: bool) -> None:
    assert sorted(order(group=group)) == list(range(67))
    assert order(group=group) == order(group=group)
    assert len({tuple(order(epoch, seed, group=group)) for epoch in (0, 1) for seed in (1, 2)}) == 4


def test_whole_steps_are_of_one_modality_and_like_length() -> None:
    rows = order()
    steps = [rows[start : start + 8] for start in range(0, 64, 8)]
    whole = [step for step in steps if len({IMAGES[row] for row in step}) == 1]
    assert len(whole) >= 67 // 8 - 2
    spread = [max(LENGTHS[row] for row in step) - min(LENGTHS[row] for row in step) for step in whole]
    random = order(group=False)
    loose = [
        max(LENGTHS[row] for row in random[s : s + 8]) - min(LENGTHS[row] for row in random[s : s + 8])
        for s in range(0, 64, 8)
    ]
    assert sum(spread) / len(spread) < sum(loose) / len(loose) / 2
