"""Audits a log: from where the last audit stopped up to the checkpoint that is served now.

Trust runs downward. The checkpoint is signed by the key in the first block, whose hash is the log
id. The hash tiles are read first: they must rebuild the checkpoint's root and hold the checkpoint
that was accepted before (`signed`). Each bundle of entries must then rebuild the root of its tile,
and only then are its entries replayed. So whatever rule an entry breaks, the log signed for it.

What is found ends as one of three:

- `Misbehaviour`, transferable: a rule broken by signed entries, or two signed checkpoints that no
  one tree can satisfy. The log's own signature proves it to anybody who has the log.
- `Misbehaviour`, not transferable: what is served does not rebuild the signed root, though asked
  for twice, is not the statement that a block commits to, or the checkpoint is older than one
  accepted before. The log is wrong as served to this auditor, who has the bytes; yet nobody else
  can tell who garbled or delayed them.
- `Undecided`: an answer that is missing, cut short, late or not of its form, a stale checkpoint,
  or a fault of this machine. An audit that could not see everything is never a success.

With `statements` it is a mandated auditor's: every group block's statement must be given and pass
the rules of specs 56, else a block counts as broken like any other.

    with State.open(path, log_id) as state, Workers(2) as workers:
        report = Audit(served, state, workers, log_id, check=True).run(now)
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from verifier import crosscheck
from verifier.accusing import Accuser, broken, exhibit_of
from verifier.blocks import GROUP_TYPES, Block, open_block, open_entry
from verifier.directory import Directory
from verifier.errors import VERDICTS, Invalid, Misbehaviour, Undecided
from verifier.fetch import Served
from verifier.groups import Statement
from verifier.merkle import WIDTH, Frontier, leaf_hash, tree_root
from verifier.note import Checkpoint, NoteKey, parse_checkpoint, parse_note
from verifier.replay import Replay
from verifier.signed import Follower, Forked, SignedTree
from verifier.state import State
from verifier.statements import Statements
from verifier.states import State as ChainState
from verifier.tiles import Bundle
from verifier.trust import NOBODY, Trust
from verifier.workers import BLOCK, INVALID, ROOT, Job, Tile, Workers

CHUNK = 4  # bundles that a worker opens at once
AHEAD = 2  # chunks under way beyond one for each worker
COMMIT_EVERY = 32_768  # entries, or after
COMMIT_AFTER = 10.0  # seconds: the work that a kill may cost

Progress = Callable[[int, int], None]
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Report:
    """What an audit that ran to its end has verified; counts are of this run."""

    origin: str
    checkpoint: bytes
    size: int
    root: bytes
    time: int
    resumed_from: int
    blocks: Mapping[int, int]  # by type
    batches: int
    signatures: int
    statements: int | None  # None: they were not asked for
    crosschecked: bool
    quorum_time: int | None  # in seconds: since when enough witnesses had cosigned, if any must
    doubt: str | None  # why the checkpoint decides nothing, if so: not fresh, or no quorum


@dataclass(slots=True)
class _Counts:
    blocks: Counter[int] = field(default_factory=Counter)  # by type
    batches: int = 0
    signatures: int = 0
    statements: int = 0


class Audit:
    """One audit of one log."""

    def __init__(
        self,
        served: Served,
        state: State,
        workers: Workers,
        log_id: bytes,
        *,
        check: bool,
        statements: Statements | None = None,
        trust: Trust = NOBODY,
        progress: Progress = lambda done, total: None,
    ) -> None:
        self._served = served
        self._state = state
        self._workers = workers
        self._log_id = log_id
        self._check = check and crosscheck.AVAILABLE
        self._statements = statements
        self._trust = trust
        self._progress = progress
        directory = Directory(state.regions, state.slots())
        self._replay = Replay(
            log_id,
            state.chains,
            state.bounds,
            directory,
            state.memberships,
            size=state.size,
            time=state.time,
        )
        self._own_tiles = [row for _, row in state.tiles.items()]
        self._frontier = Frontier(self._own_tiles)
        self._counts = _Counts()
        self._accuser = Accuser(served, log_id, directory)
        self._newest: Bundle | None = None  # that the replay was in
        self._unreadable: dict[int, Invalid] = {}  # statements, by leaf
        self._misstated: tuple[bytes, Invalid] | None = None  # a group, and what its statement is
        self._committed_at = time.monotonic()
        self.key: NoteKey | None = None  # the log's, as soon as it is known

    def run(self, now: int, max_age: int | None = None, target: bytes | None = None) -> Report:
        """Verifies all that is new, and judges the checkpoint `target`, by default the newest.

        `now` and `max_age` are in milliseconds. It may be called again after it returned; after it
        raised, memory may be ahead of the state, and another audit goes on from there.
        """
        start, self._counts = self._state.size, _Counts()
        self._served.renew()
        raw = self._served.checkpoint() if target is None else target
        self.key = self._key(raw)
        self._trust.check(self.key)
        follower = Follower(self._served, self._state, self.key, self._own_tiles)
        try:
            signed = follower.follow(raw)
            self._replay_all(signed)
            if self._replay.size > self._state.size:
                self._commit(signed)
            if self._check:
                crosscheck.compare(signed.tiles, signed.checkpoint.root)
            raw = signed.raw if target is None else target
            checkpoint = follower.replayed(raw)
        except Forked as error:
            error.evidence = self._accuser.of_fork(error.contradiction)
            raise
        try:
            return self._report(raw, checkpoint, start, now, max_age)
        except Misbehaviour as error:
            error.evidence = self._accuser.of_time(signed, raw, checkpoint, self._trust.witnesses)
            error.transferable = error.evidence is not None
            raise

    def _report(
        self, raw: bytes, checkpoint: Checkpoint, start: int, now: int, max_age: int | None
    ) -> Report:
        """On a checkpoint that was replayed; `start` entries were before."""
        log, bound = self._replay.log, self._state.bounds.get(checkpoint.size)
        assert self.key is not None
        assert log is not None
        assert bound is not None
        last_time = int.from_bytes(bound[:8], "big")
        worth = self._trust.judge(raw, self.key, log.demands, last_time, now, max_age)
        counts = self._counts
        return Report(
            checkpoint.origin,
            raw,
            checkpoint.size,
            checkpoint.root,
            last_time,
            start,
            counts.blocks,
            counts.batches,
            counts.signatures,
            None if self._statements is None else counts.statements,
            self._check,
            *worth,
        )

    def _key(self, raw: bytes) -> NoteKey:
        """R-61.1: the log's key, from its first block, whose hash is the log id."""
        log = self._replay.log
        if log is not None:
            return NoteKey(log.origin, log.log_key)
        try:
            size = parse_checkpoint(parse_note(raw).text).size  # not verified yet
            bundle = self._served.bundle(0, min(WIDTH, size)) if size else None
            entry = open_entry(bundle.entries()[0]) if bundle else None
            block = open_block(entry.content, None) if entry and entry.kind == 0 else None
        except Invalid as error:
            raise Undecided(f"the first block cannot be read: {error}") from error
        if block is None or block.hash != self._log_id:
            raise Undecided("this is another log: its first block does not hash to the log id")
        return NoteKey(block.body[0], block.body[4])

    def _replay_all(self, signed: SignedTree) -> None:
        first, skip = divmod(self._replay.size, WIDTH)
        numbers = range(first, len(signed.tiles))
        step = CHUNK if self._statements is None else 1  # statements can be much longer than blocks
        chunks = [numbers[at : at + step] for at in range(0, len(numbers), step)]
        workers = self._workers if len(chunks) > AHEAD else Workers(1)

        def fetch_and_open(chunk: range) -> list[tuple[int, Job, Tile]]:
            jobs = [self._job(signed, number, skip if number == first else 0) for number in chunk]
            tiles = workers.open(jobs, self._log_id, check=self._check)
            return list(zip(chunk, jobs, tiles, strict=True))

        threads = workers.processes + AHEAD if workers.processes > 1 else 0
        try:
            for opened in _ahead(fetch_and_open, chunks, threads):
                for number, job, tile in opened:
                    self._replay_tile(signed, number, *self._same_tile(signed, number, job, tile))
                    self._progress(self._replay.size, signed.checkpoint.size)
        except Undecided:
            if self._misstated is None:
                raise
            raise self._broken(signed, self._misstated[1]) from None

    def _job(self, signed: SignedTree, number: int, skip: int) -> Job:
        """A tile's bundle, and the statements that the server has for its blocks."""
        start, width = number * WIDTH, signed.width(number)
        bundle = self._served.bundle(number, width)
        if self._statements is None:
            return Job(bundle, skip)
        told = self._statements.of(range(start + skip, start + width))
        return Job(bundle, skip, {index - start: data for index, data in told.items()})

    def _same_tile(self, signed: SignedTree, number: int, job: Job, tile: Tile) -> tuple[Job, Tile]:
        """The tile if its root is the signed one; else once more, past caches."""
        if tile.root == signed.tiles[number]:
            return job, tile
        bundle = self._served.bundle(number, signed.width(number), fresh=True)
        job = job._replace(bundle=bundle)
        (tile,) = Workers(1).open([job], self._log_id, check=self._check)
        if tile.root == signed.tiles[number]:
            return job, tile
        raise self._blame(signed, number, bundle)

    def _replay_tile(self, signed: SignedTree, number: int, job: Job, tile: Tile) -> None:
        replay, counts = self._replay, self._counts
        tile = self._past_statement(number, job, tile)
        counts.signatures += tile.signatures
        self._newest = job.bundle
        try:
            for item in tile.items:
                if item[0] == BLOCK:
                    _, when, leaf, fields, told = item
                    block = Block._make(fields)
                    before, _ = replay.block(when, leaf, block)
                    counts.blocks[block.kind] += 1
                    if self._statements is not None and block.kind in GROUP_TYPES:
                        self._hear(block, before, told)
                elif item[0] == ROOT:
                    _, when, body, rest = item
                    replay.close(when, body, self._frontier.root(rest))
                    if self._misstated is not None:
                        raise self._misstated[1]
                    counts.batches += 1
                    self._commit(signed, due=COMMIT_EVERY, after=COMMIT_AFTER)
                else:
                    _, verdict, rule, why = item
                    raise VERDICTS[verdict](rule, why, replay.size)
            if number + 1 == len(signed.tiles):
                replay.finish()
        except Invalid as error:
            raise self._broken(signed, error, number, job) from error
        if job.bundle.width == WIDTH:
            self._frontier.push(tile.root)

    def _past_statement(self, number: int, job: Job, tile: Tile) -> Tile:
        """The tile to its end, if it broke off at a statement, and not at the block itself."""
        if not job.statements or not tile.items or tile.items[-1][0] != INVALID:
            return tile
        at = len(tile.items) - 1
        (plain,) = Workers(1).open([job._replace(statements={})], self._log_id, check=False)
        if plain.items[at][0] != BLOCK:
            return tile
        _, verdict, rule, why = tile.items[at]
        leaf = number * WIDTH + job.skip + at
        self._unreadable[leaf] = VERDICTS[verdict](rule, why, leaf)
        return tile._replace(items=[*tile.items[:at], *plain.items[at:]])

    def _hear(self, block: Block, before: ChainState | None, told: tuple[Any, ...] | None) -> None:
        """The statement of the block that was just replayed.

        If it breaks a rule, that waits for the end of the batch: only the directory root there
        shows the chains that it is judged by.
        """
        index = self._replay.size - 1
        if self._misstated is not None:
            return
        try:
            if index in self._unreadable:
                raise self._unreadable[index]
            if told is None:
                raise Undecided(f"the statement of leaf {index} is withheld (R-72.5)")
            self._replay.statement(block, before, Statement._make(told))
        except Invalid as error:
            if error.rule == "R-56.2":
                raise
            error.index = index
            self._misstated = block.label, error
        self._counts.statements += 1

    def _statement(self, index: int) -> bytes:
        """The statement of a block, asked for once more."""
        assert self._statements is not None
        told = self._statements.of(range(index, index + 1))
        if index not in told:
            raise Undecided(f"the statement of leaf {index} is withheld (R-72.5)")
        return told[index]

    def _broken(
        self, signed: SignedTree, error: Invalid, number: int = 0, job: Job | None = None
    ) -> Misbehaviour:
        """A rule that signed entries break, and what shows it."""
        found = broken(signed, number, job, error)
        index, replay = error.index, self._replay
        if not found.transferable or index is None:
            return found
        if self._misstated is not None and error is self._misstated[1]:
            label = self._misstated[0]
            of = self._accuser.of_statement
            found.evidence = of(signed, replay, label, index, self._statement)
        else:
            found.evidence = self._accuser.of_leaf(signed, replay, index)
        return found

    def _commit(self, signed: SignedTree, due: int = 0, after: float = 0.0) -> None:
        """Commits the state if it is `due` entries or `after` seconds behind."""
        size = self._replay.size
        now = time.monotonic()
        if size - self._state.size >= due or now - self._committed_at >= after:
            self._committed_at = now
            for number in range(self._state.size // WIDTH, size // WIDTH):
                self._state.tiles[number] = signed.tiles[number]
                self._own_tiles.append(signed.tiles[number])
            self._state.commit(size, self._replay.time, self._partial(size % WIDTH))

    def _partial(self, width: int) -> bytes:
        """The hashes of the first leaves of the tile that the replay is in."""
        entries = self._newest.entries()[:width] if width and self._newest else []
        return b"".join(map(leaf_hash, entries))

    def _blame(self, signed: SignedTree, number: int, bundle: Bundle) -> Misbehaviour:
        """Names the entry that differs, if the hash tile is served as it was signed."""
        exhibits = {exhibit_of(bundle): bundle.data}
        what = f"entry bundle {number}"
        with contextlib.suppress(Undecided):
            leaves = self._served.hashes(0, number, signed.width(number))
            if tree_root(leaves) == signed.tiles[number]:
                exhibits["leaves"] = b"".join(leaves)
                pairs = zip(bundle.entries(), leaves, strict=True)
                at = next(at for at, (entry, leaf) in enumerate(pairs) if leaf_hash(entry) != leaf)
                what += f", entry {number * WIDTH + at} is not the one that was signed"
        return signed.contradicted(what, exhibits)


def _ahead(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """`map`, with up to `threads` items under way in threads, in order."""
    if not threads:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        pending: deque[Future[Result]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) >= threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
