"""Lookups among 10^3 to 10^6 labels: what they weigh and take, and that it grows with log n.

A real server process over loopback; a client that signs in, asks and checks the whole answer. Those
who are looked up are real users of three devices, each admitted by the rules; the rest of the
labels are synthetic (`tests.bench.filler`). The checkpoint carries two cosignatures.

| figure | is |
| --- | --- |
| `lookup_bytes_*` | a first contact by identifier: audited, so without the chain's blocks |
| `lookup_bytes_returning` | the same with a consistency proof, from checkpoints all over the log |
| `lookup_p50_v`, `lookup_p99_v` | a contact again, by label: nothing new, replayed, in V calls |
| `lookup_first_v` | a first contact by label: its blocks replayed too; audited in the note |
| `lookup_cold_v` | a new identifier: the VRF proven there, verified here |
| `lookup_http_ratio` | first contacts a second of one server process, to V |
| `directory_ratio` | a label's share of a batch of 1,000, planned and committed, in V calls |
"""

from __future__ import annotations

import gc
import random
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from statistics import mean, quantiles
from tempfile import TemporaryDirectory
from time import perf_counter
from urllib.parse import urlsplit

from ledger.client.lookups import light
from ledger.client.lookups.pins import Held, LogView, Outcome, Pin
from ledger.client.policy import Policy
from ledger.format.block import Anchor
from ledger.format.login import authenticate
from ledger.format.lookup import LOOKUP_PATH, Bundle, LookupRequest, Mode
from ledger.log.clock import wall_ms
from ledger.log.commit import Head, sign_head
from ledger.log.planner import plan
from ledger.store.port import Store
from tests.bench.filler import Template, Users, close, fill, made
from tests.bench.http import Served, lean_client, serving
from tests.bench.logs import BenchLog, anchor_of, append
from tests.bench.measure import ROUNDS, Figure, VRate, process_tree, rss_anon_mb
from tests.support.actors import User, signing_key
from tests.support.lookups import Auditor
from tests.support.policies import cosigned, policy_text, quorum

QUICK = (1_000, 100_000)
MILLION = 1_000_000
ALL = (1_000, 10_000, 100_000, MILLION)
SUBJECTS = 32
LOOKUPS = 128
MANY_LOOKUPS = 512
"""For a 99th percentile: of 128 it would be the slowest, which is the first one, since both sides
were idle or at something else while V was measured. What that one takes stands in the note."""
AT_ONCE = 640
BATCH = 1_000
NAMES = {1_000: "1k", 10_000: "10k", 100_000: "100k", MILLION: "1m"}
AUDITORS = [Auditor(f"auditor-{n}.example/key", signing_key("auditor", n)) for n in range(2)]
REPLAY = Policy()
AUDITED = Policy(Mode.AUDITED, auditors=quorum(2, *AUDITORS))


@dataclass
class Scene:
    """A log with people to look up, in between ever more others."""

    bench: BenchLog
    people: list[User]
    heads: list[Head] = field(default_factory=list)
    labels: int = 0

    @classmethod
    def make(cls, path: Path) -> Scene:
        """The people, with their three devices."""
        bench = BenchLog.found(path)
        log, home = bench.log, bench.home
        (home.path / "auditors.policy").write_text(policy_text(2, *AUDITORS))
        with home.config_file.open("a") as config:
            config.write('[auditors]\npolicy = "auditors.policy"\n')
        with bench.home.stores() as (store, private):
            anchor = anchor_of(store)
            written = [User.create(log, f"person-{n}@example.org", anchor) for n in range(SUBJECTS)]
            append(store, private, log, [one.submission for one in written])
            for _ in range(2):
                anchor = anchor_of(store)
                written = [one.after.add(anchor) for one in written]
                append(store, private, log, [one.submission for one in written])
        return cls(bench, [one.after for one in written], labels=SUBJECTS + 1)

    def grow(self, labels: int) -> None:
        """Fill up to so many labels, and have the last checkpoint cosigned."""
        self.heads += fill(self.bench, labels - self.labels)
        self.labels = labels
        log = self.bench.log
        with self.bench.home.stores() as (store, _):
            with store.view() as view:
                commit = plan(view, [], wall_ms()).commit
            note = sign_head(log.origin, commit.after, log.log_key)
            store.perform(commit, note)
        self.bench.home.covered_file.write_bytes(cosigned(note, wall_ms(), *AUDITORS))

    def v(self) -> VRate:
        """V over signatures of this log."""
        made = self.bench.people.creates(BATCH // 5, Anchor(2, bytes(32)))
        return VRate(made, self.bench.log.log_id)

    def old(self, count: int) -> list[Head]:
        """Heads from all over the log."""
        return random.Random(1).choices(self.heads, k=count)


class Client:
    """One of the people, on one connection, and what they hold of the log."""

    def __init__(self, scene: Scene, url: str) -> None:
        place = urlsplit(url)
        self._scene = scene
        self._me = scene.people[0]
        self._socket = socket.create_connection((str(place.hostname), place.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")
        self._host = place.netloc
        nothing = Held(LogView(scene.bench.log.log_id))
        self._pins: dict[bytes, Pin] = {}
        self._view = self.lookup(nothing, REPLAY, self._me.label).view

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def held(self, old: Head = Head(), *, replays: bool = False) -> Held:  # noqa: B008 - a value
        """The log's first block, the checkpoint of `old`, and to replay, the log's own chain."""
        view = replace(self._view, size=old.size, root=old.root, time=old.time)
        return Held(view if replays else replace(view, chain=()))

    def pinned(self, old: Head) -> Held:
        """The same, and the chains of all who are looked up."""
        if not self._pins:
            found = self.lookup(self.held(), REPLAY, *(one.label for one in self._scene.people))
            self._pins = {one.label: one.pin for one in found.found if one.pin}
        return replace(self.held(old, replays=True), pins=self._pins)

    def body(self, asked: LookupRequest) -> bytes:
        """The request, signed."""
        log_id = self._scene.bench.log.log_id
        key = self._me.devices[0].signing
        return authenticate(asked.encode(), LOOKUP_PATH, key, log_id, wall_ms())

    def ask(self, held: Held, policy: Policy, *of: str | bytes) -> tuple[LookupRequest, bytes]:
        """What is asked, and the bundle."""
        asked = held.ask(self._me.label, policy, of)
        return asked, self._post(self.body(asked))

    def lookup(self, held: Held, policy: Policy, *of: str | bytes) -> Outcome:
        """Ask, and verify."""
        asked, data = self.ask(held, policy, *of)
        return light.verify(data, asked, held, policy, wall_ms())

    def _post(self, body: bytes) -> bytes:
        head = (
            f"POST {LOOKUP_PATH} HTTP/1.1\r\nHost: {self._host}\r\n"
            f"Content-Type: application/cbor\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._socket.sendall(head.encode() + body)
        status, length = self._file.readline(), 0
        while (line := self._file.readline()) != b"\r\n":
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        data = self._file.read(length)
        if b" 200 " not in status:
            raise AssertionError(status + data)
        return data


def lookup_figures(sizes: Sequence[int]) -> list[Figure]:
    """All figures; bytes and time at each of `sizes`, the rest at the largest."""
    figures: list[Figure] = []
    with TemporaryDirectory() as path:
        scene = Scene.make(Path(path))
        for size in sizes:
            scene.grow(size)
            last = size == sizes[-1]
            with serving(scene.bench) as served, client_of(scene, served) as client:
                figures += at_size(scene, client, NAMES[size])
                if last:
                    figures += at_largest(scene, served, client, size)
        figures += directory_figures(scene)
    return figures


@contextmanager
def client_of(scene: Scene, served: Served) -> Iterator[Client]:
    """A client with an open connection."""
    client = Client(scene, served.url)
    try:
        yield client
    finally:
        client.close()


def at_size(scene: Scene, client: Client, name: str) -> list[Figure]:
    """Bytes and time, however many labels there are."""
    first = mean(weights(scene, client, AUDITED, client.held()))
    old = scene.old(SUBJECTS)
    again = mean(mean(weights(scene, client, AUDITED, client.held(one))) for one in old[:8])
    replayed = mean(weights(scene, client, REPLAY, client.held(replays=True)))
    bars = {"bar": 2_400, "aim": 2_050} if name == "1m" else {}
    note = f"replayed, without its blocks: {replayed:,.0f}"
    figures = [Figure(f"lookup_bytes_{name}", (first,), higher=False, note=note, **bars)]
    if name == "1m":
        figures.append(
            Figure("lookup_bytes_returning", (again,), bar=3_100, aim=2_700, higher=False)
        )
    times = Times.of(scene, labelled(scene, client, REPLAY, [client.pinned(one) for one in old]))
    return [*figures, Figure(f"lookup_p50_v_{name}", times.p50, higher=False, note=times.note)]


def weights(scene: Scene, client: Client, policy: Policy, held: Held) -> Iterator[int]:
    """The bytes of a bundle about each of the people, without a chain's blocks."""
    for person in scene.people:
        asked, data = client.ask(held, policy, person.opening.identifier)
        light.verify(data, asked, held, policy, wall_ms())
        found = Bundle.decode(data)
        bare = [
            replace(one, chain=replace(one.chain, links=()), anchored=None) for one in found.answers
        ]
        yield len(replace(found, answers=tuple(bare)).encode())


Lookup = Callable[[], Outcome]


def labelled(
    scene: Scene, client: Client, policy: Policy, held: Sequence[Held]
) -> Iterator[Lookup]:
    """Lookups of the people by label, over and over."""
    for person, one in zip(cycle(scene.people), cycle(held), strict=False):
        yield lambda label=person.label, one=one: client.lookup(one, policy, label)  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class Times:
    """Of each round: median, 99th percentile and the first one in V calls."""

    p50: tuple[float, ...]
    p99: tuple[float, ...]
    first: tuple[float, ...]
    milliseconds: tuple[float, ...]

    @property
    def note(self) -> str:
        return f"{sorted(self.milliseconds)[len(self.milliseconds) // 2]:.2f} ms"

    @classmethod
    def of(cls, scene: Scene, lookups: Iterator[Lookup], count: int = LOOKUPS) -> Times:
        """Rounds of so many lookups, one after the other."""
        v, medians, tails, firsts, spent = scene.v(), [], [], [], []
        # A client has no log in the making behind it for the collector to walk through.
        gc.collect()
        gc.freeze()
        for number in range(ROUNDS + 1):
            before = v()
            times = [_seconds(next(lookups)) for _ in range(count)]
            rate = (before + v()) / 2
            cuts = quantiles(times, n=100)
            if number:  # the first warms up
                medians.append(cuts[49] * rate)
                tails.append(cuts[98] * rate)
                firsts.append(times[0] * rate)
                spent.append(cuts[49] * 1_000)
        return cls(tuple(medians), tuple(tails), tuple(firsts), tuple(spent))


def _seconds(lookup: Lookup) -> float:
    start = perf_counter()
    lookup()
    return perf_counter() - start


def at_largest(scene: Scene, served: Served, client: Client, size: int) -> list[Figure]:
    """Times, rates and memory."""
    old = scene.old(SUBJECTS)
    bare = [client.held(one) for one in old]
    pinned = [client.pinned(one) for one in old]
    again = Times.of(scene, labelled(scene, client, REPLAY, pinned), MANY_LOOKUPS)
    whole = [client.held(one, replays=True) for one in old]
    first = Times.of(scene, labelled(scene, client, REPLAY, whole))
    audited = Times.of(scene, labelled(scene, client, AUDITED, bare))
    cold = Times.of(scene, strangers(client, bare), SUBJECTS)
    note = f"{first.note}; audited: {sorted(audited.p50)[ROUNDS // 2]:.1f} V, {audited.note}"
    idle = f"the first after a pause: {sorted(again.first)[ROUNDS // 2]:.1f}"
    figures = [
        Figure("lookup_p50_v", again.p50, bar=40, aim=20, higher=False, note=again.note),
        Figure("lookup_p99_v", again.p99, bar=40, higher=False, note=idle),
        Figure("lookup_first_v", first.p50, higher=False, note=note),
        Figure("lookup_cold_v", cold.p50, higher=False, note=cold.note),
        http_figure(scene, served, client),
    ]
    if size == MILLION:
        rss = rss_anon_mb(process_tree(served.pid))
        figures.append(Figure("server_rss_1m_mb", (rss,), bar=400, aim=200, higher=False))
    return figures


def strangers(client: Client, held: Sequence[Held]) -> Iterator[Lookup]:
    """Lookups of identifiers that nobody asked for before; nobody has them."""
    for number, one in enumerate(cycle(held)):
        name = f"stranger-{number}@example.org"
        yield lambda name=name, one=one: client.lookup(one, AUDITED, name)  # type: ignore[misc]


def http_figure(scene: Scene, served: Served, client: Client) -> Figure:
    """How many first contacts a server answers, asked over many connections."""
    v, ratios, rates = scene.v(), [], []
    names = cycle(person.opening.identifier for person in scene.people)
    me = scene.people[0].label
    with lean_client(served.url) as lean:
        for number in range(ROUNDS + 1):
            asked = [client.held().ask(me, AUDITED, [next(names)]) for _ in range(AT_ONCE)]
            before = v()
            seconds, _ = lean.round(LOOKUP_PATH, [client.body(one) for one in asked])
            if number:  # the first warms up
                ratios.append(AT_ONCE / seconds / ((before + v()) / 2))
                rates.append(AT_ONCE / seconds)
    note = f"{sorted(rates)[ROUNDS // 2]:,.0f} lookups/s"
    return Figure("lookup_http_ratio", tuple(ratios), note=note)


def directory_figures(scene: Scene) -> list[Figure]:
    """Batches of new labels: planned and committed, alone and with their users' chains and entries.

    Making the users is not counted.
    """
    v, source = scene.v(), random.Random(2)
    alone, whole = [], []
    with scene.bench.home.stores() as (store, _):
        for _ in range(ROUNDS):
            before = v()
            labels = {source.randbytes(32): source.randbytes(32) for _ in range(BATCH)}
            seconds = _commit_seconds(scene, store, labels, Users())
            alone.append(seconds / BATCH * (before + v()) / 2)
        template = Template.of(store, scene.bench)
        for _ in range(ROUNDS):
            before = v()
            with store.view() as view:
                users = made(view, template, source, BATCH)
            seconds = _commit_seconds(scene, store, users.values, users)
            whole.append(seconds / BATCH * (before + v()) / 2)
    return [
        Figure("directory_ratio", tuple(alone), bar=1.0, aim=0.6, higher=False),
        Figure("directory_users_ratio", tuple(whole), higher=False, note="chains and entries too"),
    ]


def _commit_seconds(
    scene: Scene, store: Store, values: Mapping[bytes, bytes], users: Users
) -> float:
    """The time to plan what these labels do to the directory, and to commit it with these users."""
    log, time, start = scene.bench.log, wall_ms(), perf_counter()
    with store.view() as view:
        commit = close(view, values, users, time)
    store.perform(commit, sign_head(log.origin, commit.after, log.log_key))
    return perf_counter() - start
