"""Intervals and tests against known values and simulations."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camml.errors import OptionError
from camml.evaluation import statistics
from camml.evaluation.statistics import Interval, bootstrap_interval, compare_paired, mcnemar, permutation_test

scores = st.lists(st.floats(0, 1), min_size=1, max_size=40)


def test_the_interval_of_a_share_is_near_the_normal_one() -> None:
    values = np.repeat([1.0, 0.0], [300, 700])
    result = bootstrap_interval(values, resamples=4000)
    half = 1.96 * math.sqrt(0.3 * 0.7 / 1000)
    assert (result.low, result.high) == pytest.approx((0.3 - half, 0.3 + half), abs=0.004)


@pytest.mark.long
def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(0)
    samples = random.random((300, 80)) < 0.4
    results = [bootstrap_interval(row, resamples=400, seed=n) for n, row in enumerate(samples)]
    assert 0.90 <= np.mean([interval.low <= 0.4 <= interval.high for interval in results]) <= 0.99


def test_clusters_widen_the_interval() -> None:
    values = np.repeat(np.arange(100) % 2, 10).astype(float)  # ten equal answers to each of a hundred images
    clusters = [str(n // 10) for n in range(1000)]
    alone, together = bootstrap_interval(values), bootstrap_interval(values, clusters=clusters)
    widths = [item.high - item.low for item in (alone, together)]
    assert widths[1] == pytest.approx(widths[0] * math.sqrt(10), rel=0.1)


@pytest.mark.long
@given(scores, st.integers(0, 5))
def test_an_interval_is_seeded_and_within_the_values(values: list[float], seed: int) -> None:
    result = bootstrap_interval(values, resamples=50, seed=seed)
    assert result == bootstrap_interval(values, resamples=50, seed=seed)
    assert min(values) - 1e-9 <= result.low <= result.high <= max(values) + 1e-9


def test_a_statistic_is_given_counts() -> None:
    values = np.array([1.0, 0, 1, 1, 0, 1])
    clusters = list("aabbcc")

    def weighted_mean(counts: np.ndarray) -> float:
        assert counts[0] == counts[1]  # whole clusters are drawn
        return float((counts * values).sum() / counts.sum())

    single = bootstrap_interval(values, clusters=clusters, statistic=weighted_mean)
    assert single == bootstrap_interval(values, clusters=clusters)


@pytest.mark.parametrize(
    ("better", "worse", "p_value"),
    [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 2 / 32), (8, 2, 2 * (1 + 10 + 45) / 1024), (5, 5, 1.0), (2, 8, 0.109375)],
)
def test_mcnemar_of_known_tables(better: int, worse: int, p_value: float) -> None:
    assert mcnemar(better, worse) == pytest.approx(p_value)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_binomial_tail(better: int, worse: int) -> None:
    pairs, fewer = better + worse, min(better, worse)
    tail = sum(math.comb(pairs, k) for k in range(fewer + 1)) / 2**pairs
    assert mcnemar(better, worse) == mcnemar(worse, better) == pytest.approx(min(1, 2 * tail))


def test_mcnemar_of_a_large_benchmark() -> None:
    assert 0 < mcnemar(20_500, 20_000) < 0.02


def test_permutations_count_the_observed_one() -> None:
    assert permutation_test([0.0, 0.0]) == 1.0
    assert permutation_test([1.0] * 4) == pytest.approx(2 / 16, abs=0.02)
    assert permutation_test([0.5] * 40) == pytest.approx(1 / 10_001)


def test_the_last_block_of_flips_is_as_short_as_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "_BLOCK", 3)
    assert permutation_test([1.0], flips=10) == 1.0  # each flip is as extreme as what was observed


def test_permutation_and_mcnemar_agree() -> None:
    gaps = [1.0] * 15 + [-1.0] * 6
    assert permutation_test(gaps) == pytest.approx(mcnemar(15, 6), abs=0.02)


def test_a_comparison_chooses_its_test() -> None:
    first, other = np.array([1.0, 1, 1, 0, 1, 1]), np.array([0.0, 0, 0, 1, 1, 1])
    result = compare_paired(first, other)
    assert result.test == "exact McNemar"
    assert (result.difference, result.better, result.worse, result.items) == (pytest.approx(1 / 3), 3, 1, 6)
    assert result.p_value == mcnemar(3, 1)
    assert result.interval.low <= 1 / 3 <= result.interval.high
    assert compare_paired(first / 2, other).test == "permutation"
    assert compare_paired(first, other, clusters=list("aabbcc")).test == "permutation"


@given(scores)
def test_a_run_equals_itself(values: list[float]) -> None:
    result = compare_paired(values, values, resamples=20)
    assert (result.difference, result.p_value, result.better, result.worse) == (0, 1, 0, 0)


def test_senseless_questions_are_refused() -> None:
    with pytest.raises(OptionError, match="no scores"):
        bootstrap_interval([])
    with pytest.raises(OptionError, match="level 2 should be between 0 and 1"):
        bootstrap_interval([1.0], level=2)
    with pytest.raises(OptionError, match="2 scores, but 1 clusters"):
        bootstrap_interval([1.0, 0.0], clusters=["a"])
    with pytest.raises(OptionError, match="there are 1 and 2"):
        compare_paired([1.0], [1.0, 0.0])


def test_resamples_that_say_nothing_are_left_out() -> None:
    def first(counts: np.ndarray) -> float:
        return 7.0 if counts[0] else float("nan")

    assert bootstrap_interval([1, 0, 0], statistic=first, resamples=50) == Interval(7, 7)
    nothing = bootstrap_interval([1], statistic=lambda _: float("nan"), resamples=5)
    assert np.isnan([nothing.low, nothing.high]).all()
