"""Figures for Prometheus."""

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from camml.serving.engines import Engine
from camml.serving.shelf import ServedDatastore

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
RATES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Metrics:
    """Figures of what happened since the server started, and of what goes on; each server has a registry of its own."""

    def __init__(self, engine: Engine, shelves: Mapping[str, ServedDatastore]) -> None:
        self._registry = CollectorRegistry()
        shared: dict[str, Any] = {"registry": self._registry}
        self.requests = Counter("camml_requests", "HTTP requests", ["route", "method", "status"], **shared)
        self.request_seconds = Histogram(
            "camml_request_seconds", "From the request to the end of its answer", ["route"], buckets=SECONDS, **shared
        )
        self.refused = Counter("camml_refused", "Requests refused for load or rate", ["reason"], **shared)
        self.gone = Counter("camml_gone", "Requests whose client went away", **shared)
        self.retrieval = Histogram("camml_retrieval_seconds", "Search for samples", buckets=SECONDS, **shared)
        self.first_token = Histogram(
            "camml_first_token_seconds", "From the question to the first text of the answer", buckets=SECONDS, **shared
        )
        self.token_rate = Histogram("camml_tokens_per_second", "Of one answer", buckets=RATES, **shared)
        self.prompt_tokens = Counter("camml_prompt_tokens", "Tokens read", **shared)
        self.new_tokens = Counter("camml_new_tokens", "Tokens generated", **shared)
        self._registry.register(_Now(engine, shelves))

    def text(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        return generate_latest(self._registry)


class _Now:
    """Figures that are asked for, not counted."""

    def __init__(self, engine: Engine, shelves: Mapping[str, ServedDatastore]) -> None:
        self._engine = engine
        self._shelves = shelves

    def collect(self) -> Iterable[Metric]:
        """Yield the figures of now, for every report."""
        for name, value in self._engine.status().items():
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            yield kind(f"camml_engine_{name}", f"Engine: {name.replace('_', ' ')}", value=value)
        samples = GaugeMetricFamily("camml_store_samples", "Samples in a datastore", labels=["store"])
        hits = CounterMetricFamily("camml_thumbnail_hits", "Thumbnails that were at hand", labels=["store"])
        misses = CounterMetricFamily("camml_thumbnail_misses", "Thumbnails that had to be made", labels=["store"])
        for name, shelf in self._shelves.items():
            samples.add_metric([name], len(shelf.datastore))
            hit, miss = shelf.thumbnail_counts()
            hits.add_metric([name], hit)
            misses.add_metric([name], miss)
        yield from (samples, hits, misses)
