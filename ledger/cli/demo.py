"""`keyroll demo`: real key histories played, audited and attacked, in about a minute."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ledger.cli.words import example, print_json
from ledger.client.replay.session import Log
from ledger.demo.attacks import Attack, alter_database, slip_in, swap_key, withhold_revocation
from ledger.demo.audit import VERIFIED, Audited, audit
from ledger.demo.keyring import Event, read_events
from ledger.demo.play import Player
from ledger.demo.stage import Stage


@dataclass(frozen=True, slots=True)
class Story:
    """How the demo went. Times are in seconds, sizes in bytes."""

    events: int
    persons: int
    blocks: Counter[str]
    tree_size: int
    database_bytes: int
    play_seconds: float
    audit_seconds: float
    audited: Audited
    attacks: list[Attack]

    @property
    def sound(self) -> bool:
        """Whether the honest log was verified, and every lie caught."""
        return self.audited.code == VERIFIED and all(attack.caught_by for attack in self.attacks)


@click.command(epilog=example("keyroll demo --events 200"))
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.option(
    "--events", type=click.IntRange(1, 1_323), default=1_323, help="Play only so many events."
)
def demo(as_json: bool, events: int) -> None:
    """Play four years of the Debian keyring, audit the log, then attack it.

    A real server on LMDB, a client that verifies everything, the verifier as its own process, and
    four lies. Takes about half a minute; everything happens in a temporary directory.
    """
    console = Console(stderr=as_json)
    with TemporaryDirectory(prefix="keyroll-demo-") as path:
        story = asyncio.run(_tell(Path(path), events, console))
    if as_json:
        print_json(_fields(story))
    else:
        _show(story, console)
    if not story.sound:
        raise SystemExit(1)


async def _tell(path: Path, count: int, console: Console) -> Story:
    events = read_events()[:count]
    with Stage.build(path) as stage:
        stage.serve()
        async with Log.connect(stage.url, stage.log_id) as log:
            player, started = Player(log, stage), perf_counter()
            await _play(player, events, console)
            played = perf_counter()
            with console.status("auditing, as another process"):
                audited = await asyncio.to_thread(audit, stage, "honest")
            ended = perf_counter()
            with console.status("attacking"):
                attacks = await _attack(stage, player)
            return Story(
                len(events),
                len(player.users) + 1,
                player.blocks,
                log.replica.head.size,
                (stage.home.log / "data.mdb").stat().st_size,
                played - started,
                ended - played,
                audited,
                attacks,
            )


async def _play(player: Player, events: list[Event], console: Console) -> None:
    columns = (
        TextColumn("playing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("events"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=len(events))
        await player.play(events, lambda done: bar.advance(task, done))


async def _attack(stage: Stage, player: Player) -> list[Attack]:
    """Every lie is about somebody who has devices to lose; two of them are developers."""
    one, other, *_ = (user for user in player.users.values() if len(user.state.devices) > 2)
    developers = player.roles.groups["DD"]
    member, victim, *_ = player.of("DD")
    return [
        await swap_key(stage, one),
        await withhold_revocation(stage, other),
        await slip_in(stage, developers, member, victim),
        await alter_database(stage, one),
    ]


def _fields(story: Story) -> dict[str, object]:
    return {
        "events": story.events,
        "persons": story.persons,
        "blocks": dict(story.blocks),
        "tree_size": story.tree_size,
        "database_bytes": story.database_bytes,
        "play_seconds": round(story.play_seconds, 1),
        "audit_seconds": round(story.audit_seconds, 1),
        "audit": story.audited.report,
        "attacks": [asdict(attack) for attack in story.attacks],
        "sound": story.sound,
    }


def _show(story: Story, console: Console) -> None:
    log = Table("the log", "", title="Four years of the Debian keyring", title_justify="left")
    for name, value in _rows(story):
        log.add_row(name, value)
    lies = Table("the lie", "caught by", "rule", "in these words", title="Four attacks")
    for attack in story.attacks:
        lies.add_row(attack.lie, attack.caught_by or "NOBODY", attack.rule, attack.says)
    console.print(log)
    console.print(lies)


def _rows(story: Story) -> list[tuple[str, str]]:
    blocks = story.blocks.total()
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in story.blocks.most_common())
    signatures = int(story.audited.report.get("signatures") or 0)
    outcome = f"{story.audited.report.get('outcome')} {story.audited.says}"
    megabytes, rate = story.database_bytes / 1e6, blocks / story.play_seconds
    return [
        ("history", f"{story.events:,} events of {story.persons:,} persons"),
        ("blocks", f"{blocks:,}: {kinds}"),
        ("tree", f"{story.tree_size:,} entries"),
        ("database", f"{megabytes:.1f} MB, {story.database_bytes // blocks:,} bytes a block"),
        ("played in", f"{story.play_seconds:.1f} s, {rate:.0f} blocks a second"),
        ("audited in", f"{story.audit_seconds:.1f} s, {signatures:,} signatures: {outcome}"),
    ]
