"""What is known of a log here, as users and groups read it: a replica fills it, and lookups do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ledger.client.group.groups import Resolved
from ledger.client.history import Step
from ledger.format.block import Anchor
from ledger.log.commit import Head
from ledger.rules.state import Chain, LogState, UserState


class Copy(Protocol):
    """Chains, and what was verified of groups' statements."""

    @property
    def note(self) -> bytes:
        """The newest checkpoint accepted."""

    def chain(self, label: bytes) -> Chain | None:
        """The chain of a label."""

    def history(self, label: bytes, after: Chain | None = None) -> list[Step]:
        """What each block of a chain did, or each one `after`."""

    def log_history(self) -> list[LogState]:
        """The log's own states, one a block of its chain."""

    def resolved(self, group: bytes) -> Resolved | None:
        """What was last verified of a group's statements."""

    def statements(self, group: bytes) -> list[bytes]:
        """The statements that led there."""

    def keep(self, group: bytes, resolved: Resolved, statements: Sequence[bytes]) -> None:
        """Remember statements, now verified."""

    def check_group(self, group: bytes) -> None:
        """Compare what is kept of a group's statements with its chain."""


class Known(Copy, Protocol):
    """All that a user's own writing takes."""

    @property
    def log_id(self) -> bytes:
        """Of which log."""

    @property
    def head(self) -> Head:
        """The newest tree accepted."""

    @property
    def anchor(self) -> Anchor:
        """What a block that is written now commits to."""

    @property
    def log(self) -> LogState:
        """The log's own state. Raises `UsageError` before the first sync."""

    def user(self, label: bytes) -> UserState | None:
        """Who stands behind a label."""

    def labels(self) -> list[bytes]:
        """The labels of all chains that are known, ascending."""

    def holds(self, raw: bytes) -> bool:
        """Whether the block `raw` is in its chain."""
