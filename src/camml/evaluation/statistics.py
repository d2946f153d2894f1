"""Intervals and paired tests for scores: percentile bootstrap, exact McNemar, sign-flip permutation; all seeded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from camml.errors import OptionError

Floats = NDArray[np.float64]
RESAMPLES = 2000
FLIPS = 10_000
_BLOCK = 1 << 22  # signs held at once


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs on the same items.

    Attributes:
      difference: mean of the first minus mean of the second.
      interval: its confidence interval.
      p_value: probability of a difference at least as large, in either direction, if the runs were equally good.
      test: "exact McNemar" or "permutation".
      items: number of items.
      better: items on which the first run scores more.    worse: ... less.
    """

    difference: float
    interval: Interval
    p_value: float
    test: str
    items: int
    better: int
    worse: int


def bootstrap_interval(
    values: Sequence[float] | Floats,
    *,
    clusters: Sequence[str] = (),
    statistic: Callable[[Floats], float] | None = None,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Compute the percentile bootstrap interval of the mean, or of `statistic`.

    Args:
      values: float64[N], one for each item.
      clusters: the cluster of each item; whole clusters are drawn. Empty: every item is its own.
      statistic: the number for float64[N] counts of how often each item was drawn; NaN where a draw has none, which
        is left out. The interval is NaN where no draw has one.
    Raises:
      OptionError: no values, or a level or number of resamples that makes no sense.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    data = np.asarray(values, dtype=float)
    if not len(data):
        raise OptionError("no scores to make an interval of")
    if not 0 < level < 1 or resamples < 1:
        raise OptionError(f"level {level} should be between 0 and 1, and resamples {resamples} at least 1")
    member = _members(clusters, len(data))
    number = int(member.max()) + 1
    totals, sizes = np.bincount(member, data), np.bincount(member).astype(float)
    random = np.random.default_rng(seed)
    drawn = np.empty(resamples)
    for place in range(resamples):
        counts = np.bincount(random.integers(0, number, size=number), minlength=number).astype(float)
        drawn[place] = counts @ totals / (counts @ sizes) if statistic is None else statistic(counts[member])
    finite = drawn[~np.isnan(drawn)]
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2]) if len(finite) else (np.nan, np.nan)
    return Interval(float(low), float(high))


def compare_paired(
    first: Sequence[float] | Floats,
    second: Sequence[float] | Floats,
    *,
    clusters: Sequence[str] = (),
    resamples: int = RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare two runs on the same items: the paired difference, with interval and test.

    Independent items with scores of 0 and 1 alone get McNemar's exact test; all others a permutation test that swaps
    the two runs on whole clusters.

    Raises:
      OptionError: runs of different length, or without items.
    """
    left, right = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if left.shape != right.shape:
        raise OptionError(f"paired runs need the same items: there are {len(left)} and {len(right)}")
    gaps = left - right
    interval = bootstrap_interval(gaps, clusters=clusters, resamples=resamples, level=level, seed=seed)
    better, worse = int((gaps > 0).sum()), int((gaps < 0).sum())
    member = _members(clusters, len(gaps))
    independent = int(member.max()) + 1 == len(gaps)
    if independent and np.isin(left, (0, 1)).all() and np.isin(right, (0, 1)).all():
        p_value, test = mcnemar(better, worse), "exact McNemar"
    else:
        totals = np.bincount(member, gaps).astype(float)
        p_value, test = permutation_test(totals, seed=seed), "permutation"
    return Comparison(float(gaps.mean()), interval, p_value, test, len(gaps), better, worse)


def cluster_means(values: Sequence[float] | Floats, clusters: Sequence[str]) -> list[float]:
    """Return the mean of each cluster, in the order in which the clusters first come."""
    groups: dict[str, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        groups.setdefault(cluster, []).append(float(value))
    return [sum(group) / len(group) for group in groups.values()]


def mcnemar(better: int, worse: int) -> float:
    """Return the two-sided exact p-value for `better` against `worse` discordant pairs.

    Source: McNemar, Psychometrika 12 (1947), with the exact binomial distribution.
    """
    pairs, fewer = better + worse, min(better, worse)
    ways = total = 1
    for place in range(1, fewer + 1):
        ways = ways * (pairs - place + 1) // place
        total += ways
    return min(1.0, 2 * total / 2**pairs) if pairs else 1.0


def permutation_test(gaps: Sequence[float] | Floats, *, flips: int = FLIPS, seed: int = 0) -> float:
    """Return the two-sided p-value of a sum of paired gaps under random signs.

    The observed signs count as one of the flips, so the value is never 0.
    """
    sizes = np.abs(np.asarray(gaps, dtype=float))
    sizes = sizes[sizes > 0]
    if not len(sizes):
        return 1.0
    observed = abs(float(np.sum(gaps))) - 1e-9 * float(sizes.sum())
    random = np.random.default_rng(seed)
    extreme, rows = 0, max(1, _BLOCK // len(sizes))
    for start in range(0, flips, rows):
        signs = random.integers(0, 2, size=(min(rows, flips - start), len(sizes)), dtype=np.int8) * 2.0 - 1.0
        extreme += int((np.abs(signs @ sizes) >= observed).sum())
    return (1 + extreme) / (1 + flips)


def _members(clusters: Sequence[str], items: int) -> NDArray[np.intp]:
    """Return int[N]: the number of each item's cluster."""
    if not clusters:
        return np.arange(items)
    if len(clusters) != items:
        raise OptionError(f"{items} scores, but {len(clusters)} clusters")
    members: NDArray[np.intp] = np.unique(np.asarray(clusters, dtype=object).astype(str), return_inverse=True)[1]
    return members
