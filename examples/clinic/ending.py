"""What the story came to: all its secrets, looked for in all that lies on disk.

>>> outcome = the_search(story, secrets, known, kept)            # doctest: +SKIP
>>> outcome.leaked                                               # doctest: +SKIP
frozenset()
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.table import Table

from examples.clinic.device import device_secrets, secrets_of
from examples.clinic.search import Searched, search
from examples.clinic.teller import Story


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the search at the end came to, by place."""

    secrets: frozenset[bytes] = field(repr=False)
    known: frozenset[bytes]
    """What the clinic, the log and the mail provider do know: found there, or the search fails."""
    kept: frozenset[bytes]
    """What the recovery service does; it does not have what they know."""
    clinic: Searched
    log: Searched
    recovery: Searched
    post: Searched
    locked: Searched
    unlocked: Searched

    @property
    def leaked(self) -> frozenset[bytes]:
        """The secrets that somebody could read who should not."""
        readable = (self.clinic, self.log, self.recovery, self.post, self.locked)
        found = frozenset[bytes]().union(*(place.found for place in readable))
        return self.secrets & found | self.known & self.recovery.found

    @property
    def sound(self) -> bool:
        """Nothing leaked, and the search finds all of it where it is to be found."""
        knowing = (self.clinic, self.log, self.post)
        works = all(self.known <= place.found for place in knowing)
        works = works and self.kept <= self.recovery.found
        return works and not self.leaked and self.secrets <= self.unlocked.found


def write_down_all_secrets(story: Story) -> frozenset[bytes]:
    """Everything that was read or written, and every private key; also beside, in clear."""
    secrets: set[bytes] = set()
    for device in story.town.devices.values():
        unlocked = story.town.path / "unlocked" / device.name
        unlocked.mkdir(parents=True)
        (unlocked / "account").write_bytes(device.account.encode())
        (unlocked / "shown").write_bytes(b"\n".join(device.shown))
        secrets.update(secrets_of(device.account), device.shown)
    papers = story.town.path / "unlocked" / "papers"
    papers.mkdir()
    for identifier, code in story.codes.items():
        known = (*device_secrets(code.device(story.town.log_id)), code.secret, code.words.encode())
        (papers / identifier).write_bytes(b"\n".join(known))
        secrets.update(known)
    (papers / "elsewhere").write_bytes(b"\n".join(story.elsewhere))
    return frozenset(secrets | story.elsewhere)


def the_search(
    story: Story, secrets: frozenset[bytes], known: frozenset[bytes], kept: frozenset[bytes]
) -> Outcome:
    """Through all that servers and locked devices hold; and where it must turn up."""
    story.chapter("The search")
    wanted = secrets | known | kept
    places = {
        "the clinic: database, keys, log file": "clinic",
        "the log: LMDB, files, log file": "log",
        "the recovery service: records, log file": "recovery",
        "the mail provider: mailboxes": "post",
        "people's devices, locked": "devices",
        "people's devices, unlocked; papers at home": "unlocked",
    }
    found = {name: search(story.town.path / name, wanted) for name in places.values()}
    table = Table("where", "files", "bytes", f"of {len(secrets)} secrets", box=None)
    for words, name in places.items():
        one = found[name]
        table.add_row(words, f"{one.files}", f"{one.size:,}", f"{len(one.found & secrets)}")
    story.tell("Every text that was written and every private key, in all that lies on disk:")
    story.show(table)
    return Outcome(secrets, known, kept, *found.values())
