"""Replaying a log: every batch planned again from its own blocks, and compared. Pure.

Whoever replays does not trust the log: each entry is decoded strictly, each signature and rule is
checked, and the batch is planned as the log should have planned it, at the log's own time. What
comes out must be the log's bytes, directory root included (R-42.5).

>>> for batch in batches(entries):              # doctest: +SKIP
...     replica.perform(replay(replica.view(), batch))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from ledger.errors import LogMisbehaved, MalformedInput, RuleViolation
from ledger.format import block as blocks
from ledger.format import entry
from ledger.format.block import Block
from ledger.format.entry import DIRECTORY_ROOT, Entry
from ledger.log.commit import Commit
from ledger.log.planner import MAX_BATCH, View, plan

Check = Callable[[Block, bytes], None]
"""Checks a block's signatures for a log id, or raises; `ledger.format.block.verify` is one."""


def batches(entries: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Cut entries into batches (R-42.2). They end where a batch ends, or `LogMisbehaved`."""
    batch: list[bytes] = []
    for data in entries:
        batch.append(data)
        if _is_directory_root(data):
            yield batch
            batch = []
        elif len(batch) > MAX_BATCH:
            raise LogMisbehaved("R-42.2", f"a batch of more than {MAX_BATCH} blocks")
    if batch:
        raise LogMisbehaved("R-42.2", "the tree does not end with a directory root")


def replay(view: View, batch: Sequence[bytes], check: Check = blocks.verify) -> Commit:
    """What one batch does to the log that `view` shows, or `LogMisbehaved` with the entry."""
    parsed = [_parse(data) for data in batch]
    _check_shape(view, parsed)
    time = parsed[-1].time
    pairs = zip(parsed[:-1], batch[:-1], strict=True)
    found = [_check_block(view, item, data, check) for item, data in pairs]
    if not view.head.size and found[0].hash != view.log_id:
        raise LogMisbehaved("R-61.1", "the first block is not this log's", {"entry": batch[0]})
    planned = plan(view, found, time)
    for result, data in zip(planned.results, batch, strict=False):
        if isinstance(result, RuleViolation):
            raise LogMisbehaved(result.rule, result.detail, {"entry": data})
    if planned.commit.entries[-1] != batch[-1]:
        evidence = {"entry": batch[-1], "expected": planned.commit.entries[-1]}
        raise LogMisbehaved("R-42.5", "the directory root does not follow", evidence)
    return planned.commit


def _is_directory_root(data: bytes) -> bool:
    # By offset: 83 is an array of three, 01 the kind. `_parse` looks at the rest.
    return data[:2] == b"\x83\x01"


def _parse(data: bytes) -> Entry:
    try:
        return entry.parse(data)
    except MalformedInput as error:
        raise LogMisbehaved(error.rule, error.detail, {"entry": data}) from error


def _check_shape(view: View, batch: Sequence[Entry]) -> None:
    kinds = [item.kind for item in batch]
    if len(batch) > MAX_BATCH + 1 or DIRECTORY_ROOT in kinds[:-1] or kinds[-1:] != [DIRECTORY_ROOT]:
        raise LogMisbehaved("R-42.2", "a batch is blocks, then one directory root")
    if not view.head.size and len(batch) == 1:
        raise LogMisbehaved("R-42.4", "the log does not begin with a block")
    time = batch[-1].time
    if any(item.time != time for item in batch):
        raise LogMisbehaved("R-42.3", "the entries of a batch differ in time")
    if time < view.head.time:
        raise LogMisbehaved("R-42.3", f"time goes back from {view.head.time} to {time}")


def _check_block(view: View, item: Entry, data: bytes, check: Check) -> Block:
    try:
        found = blocks.parse(item.body)
        check(found, view.log_id)
    except (MalformedInput, RuleViolation) as error:
        raise LogMisbehaved(error.rule, error.detail, {"entry": data}) from error
    return found
