"""Logs of a given length to measure on, built as fast as they can be.

Blocks are planned and committed as always; only signatures go unchecked, since they were made here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ledger.app import keys
from ledger.app.keys import Role
from ledger.errors import RuleViolation
from ledger.format.block import Anchor
from ledger.format.bodies import Limits
from ledger.log.admission import Submission
from ledger.log.clock import wall_ms
from ledger.log.commit import sign_head
from ledger.server.founding import AppKeys, Terms, found_home
from ledger.server.home import Home
from ledger.store.port import PrivateStore, Reader, Store
from ledger.tree import tiles
from tests.bench.workload import MIXES, Mix, Population
from tests.support.actors import LogActor
from tests.support.vetting import plan_vetted

LIMITS = Limits(max_blocks_per_day=65_535)
ORIGIN = "bench.example/log"
_CONFIG = """
[server]
workers = 2
[rates]
labels = "1000000/minute"
boxes = "1000000/minute"
lookups = "1000000/minute"
[logging]
level = "warning"
"""
_BATCH = 1_000
_LARGE_BATCH = 4_000
_HEARTBEAT = 3_600_000


@dataclass(slots=True)
class BenchLog:
    """A log's directory as `keyroll init` makes it, who runs it, and who writes in it."""

    home: Home
    log: LogActor
    people: Population

    @classmethod
    def found(
        cls, path: Path, mix: Mix = MIXES["groups"], *, identifiers: bool = False
    ) -> BenchLog:
        """A log that has just begun. With `identifiers`, labels are the VRF's."""
        keys.make(path / "app")
        home = Home(path / "home")
        log_id = found_home(home, Terms(ORIGIN, _HEARTBEAT, LIMITS), AppKeys.read(path / "app"))
        home.config_file.write_text(_CONFIG, "utf-8")
        root, enrolment, authority = (keys.load(path / "app", role) for role in Role)
        log = LogActor(
            ORIGIN,
            root,
            enrolment,
            home.log_key(),
            home.vrf_seed(),
            authority,
            LIMITS,
            log_id,
            1,
            log_id,
        )
        return cls(home, log, Population(log, mix, identifiers=identifiers))

    def grow(self, count: int, *, only_creates: bool = False) -> None:
        """Add `count` blocks in batches of 1,000, or of 4,000 where all are new users."""
        make = self.people.creates if only_creates else self.people.round
        size = _LARGE_BATCH if only_creates else _BATCH
        with self.home.stores() as (store, private):
            for start in range(0, count, size):
                made = make(min(size, count - start), anchor_of(store))
                append(store, private, self.log, [m.parsed() for m in made])

    def export(self, target: Path) -> None:
        """Write the tiles as files, as a mirror would keep them."""
        with self.home.stores() as (store, _), store.reader() as reader:
            size = reader.head.size
            for tile in tiles.new_tiles(0, size):
                _write(target / tile.path(), reader.tile(tile))
            for bundle in tiles.new_bundles(0, size):
                start = bundle.index * tiles.WIDTH
                entries = reader.entries(start, start + bundle.width)
                _write(target / bundle.path(), tiles.encode_bundle(entries))
            _write(target / "checkpoint", reader.note)

    def entry_bytes(self) -> int:
        """The bytes of all entries."""
        with self.home.stores() as (store, _), store.reader() as reader:
            return sum(map(len, _all_entries(reader)))


def append(
    store: Store, private: PrivateStore, log: LogActor, submissions: Sequence[Submission]
) -> None:
    """Plan and commit a batch without checking its signatures."""
    with store.view() as view:
        planned, items = plan_vetted(view, submissions, wall_ms(), private.membership)
    for result in planned.results:
        if isinstance(result, RuleViolation):
            raise result
    private.put(items)
    store.perform(planned.commit, sign_head(log.origin, planned.commit.after, log.log_key))


def anchor_of(store: Store) -> Anchor:
    """What an author who has just synced anchors in."""
    with store.reader() as reader:
        return Anchor(reader.head.size, reader.head.root)


def _all_entries(reader: Reader) -> list[bytes]:
    return reader.entries(0, reader.head.size)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
