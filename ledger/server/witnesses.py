"""The witnesses of a log: asked for each checkpoint before it is published (R-62.14 to R-62.16).

In a *round* all of them are asked at once; it ends when a quorum has cosigned. Whoever is slower
still gets to answer: otherwise a slow witness would be asked in vain for ever. A round without a
quorum ends when all have answered or failed, or after `patience` seconds; the sequencer then asks
for another.

Before the first round they are asked what they cosigned last. So a log that was restored from too
old a backup finds out before it shows anybody what contradicts what it published.

>>> async with witnessed(terms, config, cabinet, clock.read) as witnesses:     # doctest: +SKIP
...     note = await witnesses.cosign(tree)

Errors of `cosign`: `TransportError` while there is no quorum; `LogMisbehaved` (R-62.16), for ever,
once a witness has shown a checkpoint of this log that is not in its tree.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import structlog
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from ledger.errors import LogMisbehaved, TransportError
from ledger.format.note import Note, open_note, parse_note
from ledger.log.cosigning import SignedTree
from ledger.server.config import WitnessesConfig
from ledger.server.contradiction import Cabinet
from ledger.server.policies import Terms, submission_url
from ledger.server.witness import Contradicted, Cosigned, Witness, WitnessFailed

_KEPT_ALIVE = 60.0
"""Seconds that an idle connection to a witness is kept."""

_Ask: TypeAlias = Callable[[Witness], Awaitable[None]]

_logger = structlog.get_logger("keyroll.witnesses")


@dataclass(frozen=True, slots=True)
class _Gathered:
    """The cosignatures of one tree, by public key. A later one takes an earlier one's place."""

    tree: SignedTree
    by_key: dict[bytes, Cosigned] = field(default_factory=dict)

    def note(self, order: Sequence[Witness]) -> bytes:
        """The checkpoint with all of them."""
        signed = parse_note(self.tree.note)
        keys = [one.verifier.public for one in order]
        lines = [self.by_key[key].signature for key in keys if key in self.by_key]
        return Note(signed.text, (*signed.signatures, *lines)).encode()


class Witnesses:
    """All witnesses of one log. `cosign` fills the sequencer's port; the rest is for operators.

    `unwitnessed` says that the last round ended without a quorum.
    """

    def __init__(
        self, terms: Terms, everyone: Sequence[Witness], config: WitnessesConfig, cabinet: Cabinet
    ) -> None:
        self.terms = terms
        self.everyone = tuple(everyone)
        self.unwitnessed = False
        self._config = config
        self._cabinet = cabinet
        self._gathered: _Gathered | None = None
        self._lost_since: float | None = None
        self._misbehaved: LogMisbehaved | None = None
        self._asking: set[asyncio.Task[None]] = set()

    async def cosign(self, tree: SignedTree) -> bytes:
        """One round: the checkpoint under a quorum; or without, if the operator chose so."""
        if self._gathered is None:
            await self._ask_all(lambda one: one.look(tree), tree, lambda: False)
        if self._gathered is None or self._gathered.tree is not tree:
            self._gathered = _Gathered(tree)
        gathered = self._gathered
        demand = self.terms.demand
        await self._ask_all(self._into(gathered), tree, lambda: demand and self._enough(gathered))
        self.unwitnessed = not self._enough(gathered)
        if not self.unwitnessed:
            self._lost_since = None
        elif not self._goes_without():
            raise TransportError(f"no quorum of witnesses: {self._in_words()}")
        return gathered.note(self.everyone)

    def vouch_for(self, note: bytes) -> bool:
        """Whether they have cosigned a checkpoint as they must, whenever that was."""
        _, verified = open_note(note, self.terms.verifiers)
        return self.terms.suffice({one.verifier.public for one in verified})

    async def close(self) -> None:
        """Ask no more."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

    def _enough(self, gathered: _Gathered) -> bool:
        return self.terms.suffice(gathered.by_key)

    def _goes_without(self) -> bool:
        """Whether the quorum has been missing for as long as the operator would wait (R-62.15)."""
        now = time.monotonic()
        if self._lost_since is None:
            self._lost_since = now
        if not self._config.without or now - self._lost_since < self._config.wait:
            return False
        _logger.error("published without a quorum of witnesses", told=self._in_words())
        return True

    def told(self) -> list[dict[str, object]]:
        """What /health says of each."""
        return [
            {
                "name": one.name,
                "key_name": one.verifier.name,
                "size": one.size,
                "cosigned": one.time,
                "failure": one.failure,
            }
            for one in self.everyone
        ]

    def _in_words(self) -> str:
        """What came of each, for people."""
        return ", ".join(f"{one.name}: {one.failure or 'cosigned'}" for one in self.everyone)

    def _into(self, gathered: _Gathered) -> _Ask:
        """Asks a witness to cosign, unless another tree's turn has come while it was busy."""

        async def ask(one: Witness) -> None:
            if gathered is self._gathered:
                gathered.by_key[one.verifier.public] = await one.cosign(gathered.tree)

        return ask

    async def _ask_all(self, ask: _Ask, tree: SignedTree, enough: Callable[[], bool]) -> None:
        """Ask all at once, until it is enough or all have answered. Raises `LogMisbehaved`."""
        if self._misbehaved:
            raise self._misbehaved
        pending = {asyncio.create_task(self._ask(ask, one, tree)) for one in self.everyone}
        for task in pending:
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        while pending and not self._misbehaved and not enough():
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # a bug ends the log, and is not lost
        if self._misbehaved:
            await self.close()
            raise self._misbehaved

    async def _ask(self, ask: _Ask, one: Witness, tree: SignedTree) -> None:
        """Ask one, for as long as a round lasts, and keep in mind what came of it."""
        try:
            async with asyncio.timeout(self._config.patience), one.turn:
                await ask(one)
        except WitnessFailed as failure:
            self._fail(one, failure.kind, failure.detail)
        except TimeoutError:
            self._fail(one, "timeout", f"nothing within {self._config.patience:g} s")
        except Contradicted as found:
            self._misbehaved = self._cabinet.keep(tree, found)

    def _fail(self, one: Witness, kind: str, detail: str) -> None:
        # Once, not again with each round: a witness may be away for days.
        if one.failure != kind:
            _logger.warning("a witness failed", witness=one.name, kind=kind, detail=detail)
        one.failed(kind)


@asynccontextmanager
async def witnessed(
    terms: Terms, config: WitnessesConfig, cabinet: Cabinet, now: Callable[[], int]
) -> AsyncIterator[Witnesses]:
    """The witnesses of a policy, to be asked while the context lasts. `now` gives ms."""
    async with ClientSession(
        connector=TCPConnector(keepalive_timeout=_KEPT_ALIVE),
        timeout=ClientTimeout(total=config.patience),
        cookie_jar=DummyCookieJar(),
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,
    ) as session:
        everyone = [
            Witness(
                one.name.decode("utf-8", "backslashreplace"),
                one.verifier,
                submission_url(one),
                terms.log,
                session,
                now,
            )
            for one in terms.policy.witnesses
        ]
        witnesses = Witnesses(terms, everyone, config, cabinet)
        try:
            yield witnesses
        finally:
            await witnesses.close()
