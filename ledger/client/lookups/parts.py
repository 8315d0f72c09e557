"""Answers that come in parts: a chain with more links than one bundle holds (R-65.7). Pure.

    parts, more = Parts(asked), asked
    while more:
        more = parts.take(answer)              # the bundle that answers `more`; what to ask next
    parts.whole

`whole` is one bundle, as if all had come at once: under the newest checkpoint, with all links. Only
that is judged; until then nothing is believed, and nothing kept.
"""

from __future__ import annotations

from dataclasses import replace

from ledger.errors import MalformedInput
from ledger.format.lookup import (
    MAX_ANSWER_BYTES,
    MAX_WHOLE_BYTES,
    Bundle,
    Link,
    LookupRequest,
    Mode,
)


class Parts:
    """What came so far of the answer to `asked`."""

    def __init__(self, asked: LookupRequest) -> None:
        self._asked = asked
        self._links: tuple[Link, ...] = ()
        self.whole = b""

    def take(self, data: bytes) -> LookupRequest | None:
        """The question for the rest, None if there is none. Raises `MalformedInput`."""
        self.whole = data
        if not self._links and len(data) <= MAX_ANSWER_BYTES:
            return None  # no part is as short
        bundle = Bundle.decode(data)
        first = bundle.answers[0]
        links = (*self._links, *first.chain.links)
        query = self._asked.queries[0]
        held = query.held + len(links)
        if self._is_part(bundle, len(data), held):
            self._links = links
            return replace(self._asked, queries=(replace(query, held=held),))
        if self._links:
            chain = replace(first.chain, links=links)
            answers = (replace(first, chain=chain), *bundle.answers[1:])
            self.whole = replace(bundle, answers=answers).encode()
        return None

    def _is_part(self, bundle: Bundle, size: int, held: int) -> bool:
        """Whether a bundle of this size leaves blocks out, for there was no room."""
        if self._asked.mode != Mode.REPLAY or len(bundle.answers) > 1:
            return False
        if sum(len(link.entry) for link in self._links) + size > MAX_WHOLE_BYTES:
            raise MalformedInput("R-65.1", f"an answer of more than {MAX_WHOLE_BYTES} bytes")
        return size > MAX_ANSWER_BYTES and held < bundle.answers[0].chain.length
