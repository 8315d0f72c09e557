"""What people do, and what has come of it: the steps of `tests.client.interrupted`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from examples.clinic.post import next_code
from ledger.app import keys
from ledger.app.enrolment import Register, enrol
from ledger.client.sdk import Keyroll
from ledger.client.user.handover import Offer
from ledger.client.user.recovery import RecoveryCode
from ledger.errors import NotForYou
from ledger.format.bodies import MAX_TIME, DeviceKind
from ledger.format.identity import IdentityToken
from ledger.format.recovery import What
from ledger.format.statement import Role
from ledger.rules.state import UserState
from tests.client.points import Points

ADA, BOB, EVE = "ada", "bob", "eve"
NEW = "new"
_ORDINARY, _RECOVERY, _MAIL = DeviceKind


@dataclass(frozen=True, slots=True)
class World:
    """Where the log and the recovery service are, the application's keys, mailboxes, homes."""

    url: str
    log_id: str
    app: str
    service: str
    post: str
    place: str


@dataclass
class Scene:
    """One try of a step: its people are nobody else's."""

    world: World
    name: str
    sealed: bytes = b""
    group: bytes = b""
    device: bytes = b""
    text: str = ""
    spare: bool = False
    """Whether there may be a way back too many."""

    @property
    def path(self) -> Path:
        return Path(self.world.place) / self.name

    @asynccontextmanager
    async def at(self, home: str) -> AsyncIterator[Keyroll]:
        log_id = bytes.fromhex(self.world.log_id)
        service = self.world.service
        async with Keyroll.open(
            self.path / home, self.world.url, log_id, service=service, fresh=0
        ) as place:
            yield place

    def who(self, person: str) -> str:
        return f"{person}.{self.name}@example.org"

    def token(self, person: str, reset_of: int | None = None) -> IdentityToken:
        app, log_id = Path(self.world.app), bytes.fromhex(self.world.log_id)
        enrolment, master = keys.load(app, keys.Role.ENROLMENT), keys.master(app)
        with Register.open(app / "register.db") as register:
            return enrol(
                self.who(person),
                log_id,
                enrolment,
                master,
                register,
                expiry=MAX_TIME,
                reset_of=reset_of,
            )

    async def register(self, *people: str) -> None:
        for person in people:
            async with self.at(person) as place:
                await place.register(self.token(person))

    @property
    def begun(self) -> Path:
        return self.path / "begun"

    def begun_is_told(self) -> AbstractContextManager[None]:
        """Keep count of the codes that are sent."""
        return Points(self.begun, 0, lambda: None).at_requests()

    async def code(self) -> str:
        """The newest: as many came as attempts were begun, by whatever process."""
        begun = self.begun.stat().st_size
        return await next_code(Path(self.world.post), self.who(ADA), begun - 1)

    async def reads(self, person: str, sealed: bytes) -> bytes:
        async with self.at(person) as place:
            return (await place.decrypt(sealed)).data

    async def chain(self, place: Keyroll, *kinds: DeviceKind) -> None:
        """Ada's chain has just these devices, and this device has its own keys, no others.

        But whoever was killed when all was done, and was not told, has made two ways back.
        """
        (found,) = await place.lookup(self.who(ADA))
        assert isinstance(found.state, UserState)
        there = [device.kind for device in found.state.devices]
        if self.spare and len(there) > len(kinds):
            there.remove(max(kinds))
        assert there == list(kinds)
        devices = place.user.account.devices
        assert sum(device.kind == _ORDINARY for device in devices) == 1
        assert len(devices) == 1 or self.spare
        assert place.user.account.pending is None
        assert (await place.user.user_key()).public == found.state.user_key


def length(me: Keyroll, label: bytes) -> int:
    """How many blocks a chain has, as it was last seen."""
    chain = me.user.log.replica.chain(label)
    return chain.length if chain else 0


class Step(ABC):
    """Something that a person does at `home`."""

    home = ADA
    ways_back = False
    """Whether the step makes one, and a second one if it is done in earnest twice."""

    async def before(self, scene: Scene) -> None:
        """What is there already."""
        await scene.register(ADA, BOB)

    @abstractmethod
    async def act(self, scene: Scene, me: Keyroll) -> None:
        """Done, and done again."""

    @abstractmethod
    async def after(self, scene: Scene, me: Keyroll) -> None:
        """What has come of it: asserted."""


class Registering(Step):
    async def before(self, scene: Scene) -> None:
        pass

    async def act(self, scene: Scene, me: Keyroll) -> None:
        await me.register(scene.token(ADA))

    async def after(self, scene: Scene, me: Keyroll) -> None:
        await scene.chain(me, _ORDINARY)
        assert length(me, me.user.label) == 1


class Joining(Step):
    home = NEW

    async def before(self, scene: Scene) -> None:
        await scene.register(ADA)
        async with scene.at(NEW) as new, scene.at(ADA) as old:
            scene.text = (await old.offer(new.request())).export()

    async def act(self, scene: Scene, me: Keyroll) -> None:
        await me.join(Offer.parse(scene.text))

    async def after(self, scene: Scene, me: Keyroll) -> None:
        await scene.chain(me, _ORDINARY, _ORDINARY)


class MakingACode(Step):
    ways_back = True

    async def act(self, scene: Scene, me: Keyroll) -> None:
        scene.text = (await me.recovery_code()).words

    async def after(self, scene: Scene, me: Keyroll) -> None:
        async with scene.at(NEW) as new:
            await new.recover(scene.token(ADA), RecoveryCode.parse(scene.text))
            await scene.chain(new, _ORDINARY, _RECOVERY, _ORDINARY)


class RecoveringByCode(Step):
    home = NEW

    async def before(self, scene: Scene) -> None:
        await scene.register(ADA)
        async with scene.at(ADA) as old:
            scene.text = (await old.recovery_code()).words

    async def act(self, scene: Scene, me: Keyroll) -> None:
        await me.recover(scene.token(ADA), RecoveryCode.parse(scene.text))

    async def after(self, scene: Scene, me: Keyroll) -> None:
        await scene.chain(me, _ORDINARY, _RECOVERY, _ORDINARY)


class EnrollingMail(Step):
    ways_back = True

    async def act(self, scene: Scene, me: Keyroll) -> None:
        await me.enrol_mail(scene.token(ADA), scene.code)

    async def after(self, scene: Scene, me: Keyroll) -> None:
        await scene.chain(me, _ORDINARY, _MAIL)
        with scene.begun_is_told():
            async with scene.at(NEW) as new:
                await new.recover_by_mail(scene.token(ADA), scene.code)
                await scene.chain(new, _ORDINARY, _MAIL, _ORDINARY)


class RecoveringByMail(Step):
    home = NEW

    async def before(self, scene: Scene) -> None:
        await scene.register(ADA)
        with scene.begun_is_told():
            async with scene.at(ADA) as old:
                await old.enrol_mail(scene.token(ADA), scene.code)

    async def act(self, scene: Scene, me: Keyroll) -> None:
        await me.recover_by_mail(scene.token(ADA), scene.code)

    async def after(self, scene: Scene, me: Keyroll) -> None:
        await scene.chain(me, _ORDINARY, _MAIL, _ORDINARY)
        assert not (scene.path / NEW / "recovery").exists()
        (watched,) = await me.mail_recovery.watch()
        assert What.GIVEN in [event.what for event in watched.events]


class Resetting(Step):
    home = NEW

    async def before(self, scene: Scene) -> None:
        await scene.register(ADA)

    async def act(self, scene: Scene, me: Keyroll) -> None:
        authority = keys.load(Path(scene.world.app), keys.Role.AUTHORITY)
        await me.reset(scene.token(ADA, reset_of=0), authority)

    async def after(self, scene: Scene, me: Keyroll) -> None:
        await scene.chain(me, _ORDINARY)
        assert (me.user.state.epoch, length(me, me.user.label)) == (1, 2)


class RevokingADevice(Step):
    """And with it, giving new keys to the user and to their groups."""

    async def before(self, scene: Scene) -> None:
        await scene.register(ADA, BOB)
        async with scene.at(ADA) as me, scene.at(NEW) as new:
            await new.join(await me.offer(new.request()))
            scene.device = new.user.devices[0].signing.public
            scene.group = (await me.create_group({scene.who(BOB): Role.MEMBER})).label

    async def act(self, scene: Scene, me: Keyroll) -> None:
        await me.revoke_device(scene.device)

    async def after(self, scene: Scene, me: Keyroll) -> None:
        await scene.chain(me, _ORDINARY)
        assert me.user.state.generation == 1
        view = await me.group(scene.group).view()
        assert (view.state.generation, view.reasons) == (1, ())
        assert length(me, scene.group) == 2
        async with scene.at(BOB) as bob:
            sealed = await bob.encrypt(b"x", groups=[scene.group])
        assert (await me.decrypt(sealed)).data == b"x"


class CreatingAGroup(Step):
    async def act(self, scene: Scene, me: Keyroll) -> None:
        if not await me.founded():
            await me.create_group({scene.who(BOB): Role.MEMBER})

    async def after(self, scene: Scene, me: Keyroll) -> None:
        (group,) = await me.founded()
        assert length(me, group.label) == 1
        sealed = await me.encrypt(b"x", groups=[group.label])
        assert await scene.reads(BOB, sealed) == b"x"


class _InAGroup(Step):
    async def before(self, scene: Scene) -> None:
        await scene.register(ADA, BOB, EVE)
        async with scene.at(ADA) as me:
            scene.group = (await me.create_group({scene.who(BOB): Role.MEMBER})).label


class AddingAMember(_InAGroup):
    async def act(self, scene: Scene, me: Keyroll) -> None:
        (eve,) = await me.lookup(scene.who(EVE))
        await me.group(scene.group).add(eve.label)

    async def after(self, scene: Scene, me: Keyroll) -> None:
        view = await me.group(scene.group).view()
        assert (len(view.members), length(me, scene.group)) == (3, 2)
        sealed = await me.encrypt(b"x", groups=[scene.group])
        for reader in (BOB, EVE):
            assert await scene.reads(reader, sealed) == b"x"


class RemovingAMember(_InAGroup):
    """And with it, rotating the group's keys."""

    async def act(self, scene: Scene, me: Keyroll) -> None:
        (bob,) = await me.lookup(scene.who(BOB))
        await me.group(scene.group).remove(bob.label)

    async def after(self, scene: Scene, me: Keyroll) -> None:
        view = await me.group(scene.group).view()
        assert (len(view.members), view.state.generation) == (1, 1)
        assert length(me, scene.group) == 2
        sealed = await me.encrypt(b"x", groups=[scene.group])
        assert (await me.decrypt(sealed)).data == b"x"
        try:
            await scene.reads(BOB, sealed)
        except NotForYou:
            return
        raise AssertionError("who was removed reads on")


class Encrypting(_InAGroup):
    async def act(self, scene: Scene, me: Keyroll) -> None:
        readers = [scene.who(EVE)]
        scene.sealed = await me.encrypt(b"x", users=readers, groups=[scene.group])

    async def after(self, scene: Scene, me: Keyroll) -> None:
        for reader in (ADA, BOB, EVE):
            assert await scene.reads(reader, scene.sealed) == b"x"


class Sharing(_InAGroup):
    async def before(self, scene: Scene) -> None:
        await super().before(scene)
        async with scene.at(ADA) as me:
            scene.sealed = await me.encrypt(b"x", groups=[scene.group])

    async def act(self, scene: Scene, me: Keyroll) -> None:
        await me.share(scene.sealed, users=[scene.who(EVE)])

    async def after(self, scene: Scene, me: Keyroll) -> None:
        for reader in (BOB, EVE):
            assert await scene.reads(reader, scene.sealed) == b"x"


class DecryptingFirst(Sharing):
    """A member comes by the group's key."""

    home = BOB

    async def act(self, scene: Scene, me: Keyroll) -> None:
        assert (await me.decrypt(scene.sealed)).data == b"x"

    async def after(self, scene: Scene, me: Keyroll) -> None:
        assert len(me.user.account.group_keys) == 1


STEPS: dict[str, type[Step]] = {
    step.__name__: step
    for step in (
        Registering,
        Joining,
        MakingACode,
        RecoveringByCode,
        EnrollingMail,
        RecoveringByMail,
        Resetting,
        RevokingADevice,
        CreatingAGroup,
        AddingAMember,
        RemovingAMember,
        Encrypting,
        Sharing,
        DecryptingFirst,
    )
}
