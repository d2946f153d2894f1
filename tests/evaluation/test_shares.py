"""Who does what of several processes."""

import pytest

from camml.errors import OptionError
from camml.evaluation.shares import Share


def test_shares_make_up_the_whole() -> None:
    work = list(range(7))
    parts = [Share(rank, 3).of(work) for rank in range(3)]
    assert sorted(row for part in parts for row in part) == work
    assert [Share(rank, 3).leads for rank in range(3)] == [True, False, False]


def test_a_process_alone_has_everything() -> None:
    assert Share.of_environment({}) == Share(0, 1, 0)
    assert Share.of_environment({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}) == Share(3, 4, 1)


@pytest.mark.parametrize("wrong", [{"RANK": "2", "WORLD_SIZE": "2"}, {"RANK": "first"}, {"WORLD_SIZE": "0"}])
def test_shares_that_make_no_sense_are_errors(wrong) -> None:
    with pytest.raises(OptionError, match="torchrun"):
        Share.of_environment(wrong)
