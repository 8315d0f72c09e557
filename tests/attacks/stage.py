"""Where attacks take place: an honest log that really runs, its people, and those who meet lies.

The honest log is `keyroll serve` in a process of its own. It is in order throughout: whatever is
handed in to it has to be refused. A `Liar` starts from its entries, with all its keys.

>>> async with Stage.open(tmp_path) as stage:                    # doctest: +SKIP
...     liar = stage.liar()
...     liar.admit(forged)
...     await stage.all_meet(liar)
[Catch(who='client', rule='R-53.3'…), Catch(who='client', rule='R-65.8'…), Catch(who='auditor'…)]
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from ledger import keyfile
from ledger.client.group.group import Group as GroupClient
from ledger.client.lookups.pins import Found
from ledger.client.lookups.session import LightLog
from ledger.client.policy import Policy
from ledger.client.replay.session import Log
from ledger.client.user.account import Account, DeviceSecret, FileVault, Identity, MemoryVault
from ledger.client.user.user import User as UserClient
from ledger.errors import KeyrollError, LogMisbehaved
from ledger.format import wire
from ledger.format.statement import Role
from ledger.log.clock import wall_ms
from ledger.log.replay import batches, replay
from ledger.tree import vrf
from tests.attacks.front import Twists, served
from tests.attacks.liar import Liar
from tests.attacks.processes import Done, run, verifier
from tests.attacks.suite import BELIEVED, RULE, Catch
from tests.http.world import HEARTBEAT, PLAIN, Http, make_home
from tests.server.process import serving
from tests.support.actors import LogActor, User, Written, signing_key
from tests.support.groups import Group, Member
from tests.support.memory import MemoryLog
from tests.vectors.world import World

ADA, BOB, EVE, FAY = (f"{name}@example.org" for name in ("ada", "bob", "eve", "fay"))
EVIDENCE = re.compile("evidence: (.*)")
MANDATED = signing_key("mandated auditor")
CONFIG = f"""
[server]
workers = 1
[rates]
labels = "100000/minute"
boxes = "100000/minute"
statements = "100000/minute"
lookups = "100000/minute"
[statements]
auditors = ["{MANDATED.public.hex()}"]
[logging]
level = "error"
"""


@dataclass
class Stage:
    """The honest log at `http`, and what it holds, in `world`.

    Ada has a computer, a phone and a laptop, and revoked a tablet, with which she is `before`. Bob
    is a member of her `team`, Eve was one, of `old_team`. Fay is not registered.
    """

    path: Path
    http: Http
    world: World
    ada: User = field(init=False)
    before: User = field(init=False)
    bob: User = field(init=False)
    eve: User = field(init=False)
    team: Group = field(init=False)
    old_team: Group = field(init=False)
    spare: Path | None = None
    """A log that nobody serves, to be copied and harmed: see `storage.a_home`."""
    _places: int = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[Stage]:
        """The stage in a directory, while the context lasts."""
        home = make_home(path / "log")
        home.config_file.write_text(CONFIG, "utf-8")
        keyfile.create(path / "auditor.key", MANDATED.seed)
        async with serving(home.path) as server, ClientSession(headers=PLAIN) as session:
            world = World(LogActor.make(heartbeat=HEARTBEAT))
            stage = cls(path, Http(server.url, session, HEARTBEAT), world)
            world.log = stage.as_of(0)
            await stage._people_come()
            yield stage

    async def _people_come(self) -> None:
        await self._follow()
        names = (ADA, BOB, EVE)
        ada, self.bob, self.eve = [
            await self.comes(User.create(self.world.actor, name, self.world.anchor))
            for name in names
        ]
        for _ in range(3):
            ada = await self.comes(ada.add(self.world.anchor))
        self.before = ada
        self.ada = await self.comes(ada.revoke(self.world.anchor, 3))
        everybody: dict[Member, Role] = dict.fromkeys((self.bob, self.eve), Role.MEMBER)
        everybody[self.ada] = Role.ADMIN
        made = Group.create("team", self.world.anchor, self.ada, everybody)
        self.old_team = await self.comes(made)
        gone = self.old_team.update(
            self.world.anchor, self.ada, removed=[self.eve], rotate=[self.ada, self.bob]
        )
        self.team = await self.comes(gone)

    async def comes(self, written: Written[Any]) -> Any:
        """Have the honest log admit a block; its author after it."""
        ((admitted),) = await self.http.admit(written)
        await self._follow()
        if written.statement:
            self.world.statements.append((admitted.index, written.statement))
        after = written.after
        (self.world.users if isinstance(after, User) else self.world.groups).append(after)
        return after

    async def _follow(self) -> None:
        """Replay what the honest log published since."""
        log, size = self.world.log, (await self.http.checkpoint()).size
        new = [await self.http.entry(index, size) for index in range(log.head.size, size)]
        for batch in batches(new):
            log.apply(replay(log, batch))

    # --- what lies are made of

    @property
    def log_id(self) -> bytes:
        return self.world.actor.log_id

    def liar(self, size: int | None = None) -> Liar:
        """The operator, who has told no lie yet; or as they were when the tree had this size."""
        return Liar.of(self.world, None if size is None else self.as_of(size))

    def as_of(self, size: int) -> MemoryLog:
        """The honest log as it was when the tree had this size."""
        log = MemoryLog()
        log.log_id = self.log_id
        for batch in batches(self.world.log.entries[:size]):
            log.apply(replay(log, batch))
        return log

    @property
    def now(self) -> int:
        """This moment, in ms."""
        return wall_ms()

    def place(self) -> Path:
        """A new directory."""
        self._places += 1
        path = self.path / f"place {self._places}"
        path.mkdir()
        return path

    def account(self, user: User) -> Account:
        """What a user's device keeps."""
        actor = self.world.actor
        proof = vrf.prove(actor.vrf_secret, user.opening.identifier.encode())
        devices = tuple(DeviceSecret(d.signing, d.encryption, int(d.kind)) for d in user.devices)
        identity = Identity(user.label, user.opening, proof)
        return Account(self.log_id, identity, devices, (user.user_key,))

    # --- who meets them

    async def all_meet(
        self, liar: Liar, ask: str | bytes = ADA, twists: Twists | None = None
    ) -> list[Catch]:
        """A client that replays, one that asks for somebody, and an auditor: all new to the log."""
        async with served(liar, twists) as url:
            met = [self.syncs(url), self.asks(url, ask), self.audits(url)]
            return list(await asyncio.gather(*met))

    async def syncs(
        self,
        url: str,
        path: Path | str = ":memory:",
        *,
        policy: Policy | None = None,
        later: int = 0,
    ) -> Catch:
        """A client replays the log, `later` than now (ms); what it holds is in `path`."""

        async def act() -> None:
            async with Log.connect(url, self.log_id, path, policy=policy) as log:
                log.clock = lambda: self.now + later
                await log.sync()

        return await self.catch("client", act)

    async def asks(
        self,
        url: str,
        *of: str | bytes,
        path: Path | str = ":memory:",
        policy: Policy | None = None,
        later: int = 0,
    ) -> Catch:
        """Bob looks somebody up, `later` than now (ms); what he holds is in `path`."""

        async def act() -> None:
            await self.looks_up(url, *of, path=path, policy=policy, later=later)

        return await self.catch("client", act)

    async def looks_up(
        self,
        url: str,
        *of: str | bytes,
        path: Path | str = ":memory:",
        policy: Policy | None = None,
        later: int = 0,
    ) -> list[Found]:
        """What Bob is told, and believes."""
        account = self.account(self.bob)
        async with LightLog.connect(url, self.log_id, path, account, policy=policy) as log:
            log.clock = lambda: self.now + later
            return await log.lookup(*of)

    async def waits(self, url: str, path: Path, policy: Policy, later: int) -> Catch:
        """Bob asks what auditors cover, `later` (ms): R-63.5."""
        account = self.account(self.bob)
        async with LightLog.connect(url, self.log_id, path, account, policy=policy) as log:
            log.clock = lambda: self.now + later
            await log.settle()
            overdue = log.overdue()
        rule = "R-63.5" if overdue else BELIEVED
        return Catch("client", rule, f"{len(overdue)} answers are not covered by auditors")

    def home(self, user: User) -> Path:
        """The directory of a person who uses the command line: nothing but their account."""
        home = self.place()
        FileVault(home / "account").save(self.account(user))
        return home

    async def runs(self, home: Path, url: str, *command: str | Path) -> Done:
        """`keyroll` in that directory, at this server."""
        where = ("--home", home, "--url", url, "--log-id", self.log_id.hex())
        done = await run(sys.executable, "-m", "ledger.cli", *command, *where)
        assert b"Traceback" not in done.err, done.err
        return done

    async def types(self, home: Path, url: str, *command: str | Path) -> Catch:
        """Somebody runs a command, and reads what it says on failing."""
        done = await self.runs(home, url, *command)
        says = done.err.decode()
        if done.code == 0:
            return Catch("client", BELIEVED)
        named, kept = RULE.search(says), EVIDENCE.search(says)
        return Catch("client", named[0] if named else "no answer", says, kept and Path(kept[1]))

    async def looks_at_herself(self, url: str) -> Catch:
        """Ada's computer, which knows nothing of other devices, asks for her own chain."""
        account = self.account(replace(self.ada, devices=self.ada.devices[:1]))
        async with LightLog.connect(url, self.log_id, ":memory:", account) as log:
            found = await log.refresh()
        assert found.pin
        alarms = [alarm.device.signing.hex() for alarm in found.pin.alarms]
        return Catch("owner", "alarm" if alarms else BELIEVED, f"not hers: {', '.join(alarms)}")

    async def reads(self, url: str, user: User, group: bytes | None = None) -> Catch:
        """A member asks who is in a group."""

        async def act() -> None:
            async with Log.connect(url, self.log_id) as log:
                await log.sync()
                vault = MemoryVault()
                vault.save(self.account(user))
                await GroupClient(UserClient(log, vault), group or self.team.label).members()

        return await self.catch("client", act)

    async def adds_a_device(self, url: str, user: User) -> Catch:
        """A user's client writes a block, and looks where it went."""

        async def act() -> None:
            vault = MemoryVault()
            vault.save(self.account(user))
            async with Log.connect(url, self.log_id) as log:
                await log.sync()
                await UserClient(log, vault).add_device()

        return await self.catch("client", act)

    async def opens(self, url: str, user: User) -> Catch:
        """The user's second device asks for the newest user key, which it was handed or not."""

        async def act() -> None:
            account = self.account(replace(user, devices=user.devices[1:]))
            vault = MemoryVault()
            vault.save(replace(account, user_keys=()))
            async with Log.connect(url, self.log_id) as log:
                await log.sync()
                await UserClient(log, vault).user_key()

        return await self.catch("owner", act)

    async def audits(self, url: str, *options: str | Path, state: Path | None = None) -> Catch:
        """An auditor replays the log; its evidence is in the `state`."""
        arguments = ("--log-id", self.log_id.hex(), "--state", state or self.place() / "state")
        more = ("--json", "--processes", "1", "--no-crosscheck", *options)
        done = await verifier("audit", url, *arguments, *more)
        assert b"Traceback" not in done.err, done.err
        says = str(done.facts["reason"])
        if done.code == 0:
            return Catch("auditor", BELIEVED)
        named = RULE.findall(says)
        undecided = " ".join(["undecided", *named[-1:]])
        written = done.facts.get("evidence")
        rule = done.facts.get("rule") or undecided
        return Catch("auditor", rule, says, Path(written) if written else None)

    async def audits_statements(self, url: str) -> Catch:
        """A mandated auditor replays the log and reads all statements."""
        return await self.audits(url, "--statements", self.path / "auditor.key")

    async def hands_in(self, *written: Written[Any]) -> list[Catch]:
        """Somebody hands blocks in at the honest log, one after the other: each must be refused."""
        answer = await self.http.submit(*written)
        return [_admission(verdict) for verdict in answer.verdicts]

    async def hands_in_bytes(self, *blocks: bytes) -> list[Catch]:
        """The same, of blocks to which nothing belongs."""
        return await self.hands_in(*(Written(raw, None) for raw in blocks))

    async def catch(self, who: str, act: Callable[[], Awaitable[None]]) -> Catch:
        """What somebody makes of what they were told."""
        try:
            await act()
        except LogMisbehaved as error:
            return Catch(who, error.rule, str(error), self._kept(error.proof))
        except KeyrollError as error:
            return Catch(who, getattr(error, "rule", "") or "no answer", str(error))
        except Exception as error:  # noqa: BLE001  # no lie may make anybody fall over
            return Catch(who, f"fell over: {error!r}")
        return Catch(who, BELIEVED)

    def _kept(self, evidence: bytes | None) -> Path | None:
        """The evidence file of a client, as its command writes it."""
        if evidence is None:
            return None
        path = self.place() / "client.evidence"
        path.write_bytes(evidence)
        return path


def _admission(verdict: wire.Verdict) -> Catch:
    if isinstance(verdict, wire.Refused):
        return Catch("admission", verdict.rule, verdict.detail)
    return Catch("admission", BELIEVED)
