"""What a service counts, for Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client import generate_latest as _generate

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters of one service. ``waiting`` and ``apps`` are asked whenever they are read."""

    def __init__(self, waiting: Callable[[], float], apps: Callable[[], float]) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            *("onetrunk_requests", "Requests by route and status."),
            ["method", "route", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            *("onetrunk_request_seconds", "Seconds from a request's first byte to its answer."),
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self._batch_texts = Histogram(
            "onetrunk_batch_texts", "Texts of a batch.", buckets=TEXTS, registry=registry
        )
        self._batch_seconds = Histogram(
            "onetrunk_batch_seconds", "Seconds of a batch.", buckets=SECONDS, registry=registry
        )
        Gauge("onetrunk_texts_waiting", "Texts in the queue.", registry=registry).set_function(
            waiting
        )
        Gauge("onetrunk_apps", "Apps that are served.", registry=registry).set_function(apps)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def batch(self, texts: int, seconds: float) -> None:
        """Count a batch."""
        self._batch_texts.observe(texts)
        self._batch_seconds.observe(seconds)

    def page(self) -> bytes:
        """All of it in Prometheus' text format."""
        return _generate(self._registry)
