"""What a worker process does: signatures, key points and VRF labels, frame by frame.

Run as `python -m ledger.log.worker` by `ledger.log.pool`. Frames are u32(length) ‖ marshal, in and
out; the first one in is the VRF seed, so that it stands in no argument list. A frame of tasks is
answered by a frame of results, in their order:

    (CHECK, signatures, inner, entering, identifier or None, label)  ->  None
    (PROVE, identifier)                                                   ->  (label, proof)

or, for either, (what is at fault, rule, detail).

`marshal` is for equals only: both ends are one program on one machine, over a private pipe. (It
takes a fifth of the time of pickled objects.) The process ends when its input does.
"""

from __future__ import annotations

import marshal
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, TypeAlias

from ledger.errors import BadSignature, MalformedInput, RuleViolation
from ledger.format import block as blocks
from ledger.format.block import Checks
from ledger.tree import vrf

CHECK = 0
PROVE = 1
LENGTH_BYTES = 4

_NICE = 5
"""Where cores are few, the server goes first: all wait for it, and for workers only it does."""

Task: TypeAlias = tuple[Any, ...]
Result: TypeAlias = tuple[Any, ...] | None


def frame(value: Any) -> bytes:
    """A value as it goes over the pipe."""
    data = marshal.dumps(value)
    return len(data).to_bytes(LENGTH_BYTES) + data


def perform(vrf_seed: bytes, tasks: list[Task]) -> list[Result]:
    """The results of tasks, in their order."""
    return [_perform_one(vrf_seed, *task) for task in tasks]


def _perform_one(vrf_seed: bytes, kind: int, *fields: Any) -> Result:
    try:
        return _TASKS[kind](vrf_seed, *fields)
    except BadSignature as error:
        return "signature", error.rule, error.detail
    except RuleViolation as error:
        return "rule", error.rule, error.detail
    except MalformedInput as error:
        return "malformed", error.rule, error.detail
    except Exception as error:  # noqa: BLE001 - whoever waits must hear of it
        return "failed", "", repr(error)


def _check(
    vrf_seed: bytes,
    signatures: tuple[tuple[bytes, bytes, bytes], ...],
    inner: tuple[tuple[str, bytes, bytes, bytes], ...],
    entering: tuple[bytes, ...],
    identifier: str | None,
    label: bytes,
) -> Result:
    blocks.perform(Checks(signatures, inner, entering))
    if identifier is not None and _label(vrf_seed, identifier) != label:
        raise RuleViolation("R-71.4", "the label is not the identifier's")
    return None


def _prove(vrf_seed: bytes, identifier: str) -> Result:
    proof = vrf.prove(vrf_seed, identifier.encode())
    return vrf.label(vrf.proof_to_hash(proof)), proof


def _label(vrf_seed: bytes, identifier: str) -> bytes:
    return vrf.label(vrf.evaluate(vrf_seed, identifier.encode()))


_TASKS: dict[int, Callable[..., Result]] = {CHECK: _check, PROVE: _prove}


def _read(source: BinaryIO) -> Any:
    head = source.read(LENGTH_BYTES)
    if len(head) < LENGTH_BYTES:
        raise EOFError
    return marshal.loads(source.read(int.from_bytes(head)))


def main() -> None:
    """Answer frames until the input ends."""
    # Ctrl-C and a service's stop reach the whole group: the server decides when its workers end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.nice(_NICE)
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    try:
        vrf_seed = _read(source)
        while True:
            sink.write(frame(perform(vrf_seed, _read(source))))
            sink.flush()
    except (EOFError, BrokenPipeError):
        return


if __name__ == "__main__":
    main()
