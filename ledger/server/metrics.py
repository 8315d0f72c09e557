"""What Prometheus reads at /metrics: one registry a server, so that two get along."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ledger.log.sequencer import Written
from ledger.server.witnesses import Witnesses

_BATCH_BUCKETS = (0, 1, 4, 16, 64, 256, 1_024, 4_096)
_SECONDS_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5)


class Metrics:
    """Counters of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "keyroll_requests", "Requests answered", ["route", "status"], registry=self.registry
        )
        self._verdicts = Counter(
            "keyroll_verdicts", "Blocks judged", ["kind"], registry=self.registry
        )
        self._batches = Histogram(
            "keyroll_batch_blocks",
            "Blocks in a batch; 0 is a heartbeat",
            buckets=_BATCH_BUCKETS,
            registry=self.registry,
        )
        self._seconds = Histogram(
            "keyroll_batch_seconds",
            "Time to plan, commit and publish a batch",
            buckets=_SECONDS_BUCKETS,
            registry=self.registry,
        )
        # Looking a child up by its labels takes a lock each time.
        self._children: dict[tuple[str, ...], Counter] = {}

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A gauge that is read when Prometheus asks."""
        Gauge(name, text, registry=self.registry).set_function(read)

    def watch_witnesses(self, witnesses: Witnesses, now: Callable[[], int]) -> None:
        """Whether there is a quorum, and what becomes of each witness. `now` gives ms."""
        self.registry.register(_OfWitnesses(witnesses, now))

    def request(self, route: str, status: int) -> None:
        """A request of this route was answered so."""
        self._child(self._requests, route, str(status)).inc()

    def verdict(self, kind: str) -> None:
        """A block was admitted, or refused for this reason."""
        self._child(self._verdicts, kind).inc()

    def written(self, batch: Written) -> None:
        """A batch was published."""
        self._batches.observe(batch.blocks)
        self._seconds.observe(batch.seconds)

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)

    def _child(self, counter: Counter, *labels: str) -> Counter:
        child = self._children.get(labels)
        if child is None:
            child = self._children[labels] = counter.labels(*labels)
        return child


@dataclass(frozen=True, slots=True)
class _OfWitnesses(Collector):
    """Read when Prometheus asks."""

    witnesses: Witnesses
    now: Callable[[], int]

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "keyroll_unwitnessed",
            "Whether the quorum of witnesses is missing",
            value=float(self.witnesses.unwitnessed),
        )
        ages = GaugeMetricFamily(
            "keyroll_witness_age_seconds", "Since a witness last cosigned", labels=["witness"]
        )
        failures = CounterMetricFamily(
            "keyroll_witness_failures", "Times a witness failed", labels=["witness", "kind"]
        )
        for one in self.witnesses.everyone:
            if one.time is not None:
                ages.add_metric([one.name], self.now() / 1000 - one.time)
            for kind, times in one.failures.items():
                failures.add_metric([one.name, kind], times)
        yield from (ages, failures)
