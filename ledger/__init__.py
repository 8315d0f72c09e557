"""Keyroll, a key transparency log for end-to-end encryption: the log, its server and its clients.

What an application needs is importable from here. `Keyroll` is the one door to it:

    from ledger import IdentityToken, Keyroll, Status

    async with Keyroll.open("ada", "https://log.example.com", log_id) as me:
        if me.status is Status.NEEDS_REGISTRATION:
            await me.register(IdentityToken.parse(text))        # from the application's server
        sealed = await me.encrypt(b"hello", users=["bob@example.org"])

Who would rather follow the whole log, verifying every entry, has the parts that it is made of:

    from ledger import FileVault, Group, IdentityToken, Log, Role, User

    async with Log.connect("https://log.example.com", log_id, "replica.db") as log:
        await log.sync()
        token = IdentityToken.parse(text)
        ada = await User.register(log, token, FileVault(Path("account")))
        phone = await ada.add_device()
        await ada.revoke_devices(phone.signing.public)

        bob = log.replica.user(label)                           # somebody else, verified
        bob.devices, bob.user_key

        team = await Group.create(ada, {label: Role.MEMBER})
        await team.members()

The application's server makes such tokens with `ledger.app.enrolment`. `specs/` holds the protocol
that this package follows. `verifier` judges a log by the same specs and shares no code with it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ledger.client.documents import Documents
    from ledger.client.group.group import Group
    from ledger.client.lookups.contacts import Contacts
    from ledger.client.lookups.session import LightLog
    from ledger.client.policy import Policy
    from ledger.client.replay.replica import Replica
    from ledger.client.replay.session import Log
    from ledger.client.sdk import Keyroll, Status
    from ledger.client.transport import HttpTransport
    from ledger.client.user.account import Account, DeviceSecret, FileVault, MemoryVault
    from ledger.client.user.handover import Offer, Request
    from ledger.client.user.recovery import RecoveryCode
    from ledger.client.user.user import User
    from ledger.format.identity import IdentityToken
    from ledger.format.statement import Role
    from ledger.seal.lock import Lock

__version__ = "0.1.0"

__all__ = [
    "Account",
    "Contacts",
    "DeviceSecret",
    "Documents",
    "FileVault",
    "Group",
    "HttpTransport",
    "IdentityToken",
    "Keyroll",
    "LightLog",
    "Lock",
    "Log",
    "MemoryVault",
    "Offer",
    "Policy",
    "RecoveryCode",
    "Replica",
    "Request",
    "Role",
    "Status",
    "User",
]

_PLACES = {
    "Account": "ledger.client.user.account",
    "Contacts": "ledger.client.lookups.contacts",
    "DeviceSecret": "ledger.client.user.account",
    "Documents": "ledger.client.documents",
    "FileVault": "ledger.client.user.account",
    "Group": "ledger.client.group.group",
    "HttpTransport": "ledger.client.transport",
    "IdentityToken": "ledger.format.identity",
    "Keyroll": "ledger.client.sdk",
    "LightLog": "ledger.client.lookups.session",
    "Lock": "ledger.seal.lock",
    "Log": "ledger.client.replay.session",
    "MemoryVault": "ledger.client.user.account",
    "Offer": "ledger.client.user.handover",
    "Policy": "ledger.client.policy",
    "RecoveryCode": "ledger.client.user.recovery",
    "Replica": "ledger.client.replay.replica",
    "Request": "ledger.client.user.handover",
    "Role": "ledger.format.statement",
    "Status": "ledger.client.sdk",
    "User": "ledger.client.user.user",
}


def __getattr__(name: str) -> object:
    # Loaded when asked for: a server, or a worker of it, needs no client.
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
