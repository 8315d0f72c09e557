"""Text that comes from outside, or goes to a terminal."""

from __future__ import annotations

from ledger.errors import UsageError

_LOG_ID_DIGITS = 64
_MAX_WORDS = 500


def parse_log_id(text: str) -> bytes:
    """A log id in hexadecimal. Raises `UsageError`."""
    try:
        log_id = bytes.fromhex(text)
    except ValueError:
        log_id = b""
    if len(text) != _LOG_ID_DIGITS or log_id.hex() != text.lower():
        raise UsageError(f"a log id is {_LOG_ID_DIGITS} hexadecimal digits")
    return log_id


def printable(words: object) -> str:
    """A stranger's words, fit for a terminal: no control characters, and not too many."""
    found = words if isinstance(words, str) else ""
    return "".join(c if c.isprintable() else "?" for c in found[:_MAX_WORDS])
