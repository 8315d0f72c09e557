"""The ledger's judgement of saved lookups. It asks for answers of now; so it judges one of another
time as if it had been asked for then.

>>> sorted(JUDGES)
['lookup']
"""

from __future__ import annotations

from collections.abc import Callable

from ledger.client.lookups.light import verify
from ledger.client.lookups.pins import Found, Held, LogView, Standing
from ledger.client.policy import NOBODY, Policy
from ledger.errors import MalformedInput, NotCosigned, RuleViolation
from ledger.format import entry
from ledger.format.lookup import Bundle, Mode, Saved
from ledger.format.policy import parse_policy
from tests.vectors.case import Given, Output

_hex = bytes.fromhex


def _lookup(given: Given) -> Output:
    saved, now = Saved.decode(_hex(given["lookup"])), given["now"]
    if (saved.log_id, saved.identifier) != (_hex(given["log_id"]), given["identifier"]):
        raise MalformedInput("R-65.10", "the answer to another question")
    bundle = Bundle.decode(saved.bundle)
    if bundle.mode == Mode.AUDITED and not given["auditors"]:
        raise NotCosigned("R-65.9", "no auditors are named")
    auditors = parse_policy(_hex(given["auditors"])) if given["auditors"] else NOBODY
    policy = Policy(Mode(bundle.mode), auditors=auditors)
    held = Held(LogView(saved.log_id))
    asked = held.ask(bytes(32), policy, [saved.identifier])
    outcome = verify(saved.bundle, asked, held, policy, min(now, _time(bundle.last, now)))
    (found,) = outcome.found
    return {
        "covered": outcome.standing == Standing.SETTLED,
        "label": found.label.hex(),
        "size": outcome.view.size,
        "time": outcome.view.time,
        **_told(found),
    }


def _time(last: bytes, now: int) -> int:
    try:
        return entry.parse(last).time
    except (MalformedInput, RuleViolation):
        return now


def _told(found: Found) -> Output:
    chain = found.pin.chain if found.pin else None
    events = [[int(code), one.index] for one in found.steps for code in one.outcome.events]
    return {
        "digest": chain.digest.hex() if chain else None,
        "events": events,
        "length": chain.length if chain else 0,
    }


JUDGES: dict[str, Callable[[Given], Output]] = {"lookup": _lookup}
