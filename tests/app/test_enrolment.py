"""Keys of an application, the tokens that they sign, and what must be remembered of people."""

from __future__ import annotations

import hmac
import stat
from hashlib import sha256
from pathlib import Path

import pytest

from ledger.app import keys
from ledger.app.enrolment import Register, enrol
from ledger.app.keys import Role
from ledger.app.policy import rotate_enrolment
from ledger.errors import MalformedInput, RuleViolation, UsageError
from ledger.format import block, cose
from ledger.format.bodies import Purpose
from ledger.format.identity import IdentityToken
from ledger.rules.state import LogState
from tests.support.actors import LogActor, User, signing_key
from tests.support.memory import MemoryLog

LOG_ID = b"\7" * 32


@pytest.fixture
def app(tmp_path: Path) -> Path:
    keys.make(tmp_path / "app")
    return tmp_path / "app"


def test_keys(app: Path) -> None:
    assert stat.S_IMODE(app.stat().st_mode) == 0o700
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in app.iterdir()}
    assert files == {
        f"{name}.key": 0o600 for name in ("app-root", "authority", "enrolment", "master")
    }
    publics = {keys.load(app, role).public for role in Role}
    assert len(publics) == 3
    with pytest.raises(UsageError, match="there already"):
        keys.make(app)
    assert {keys.load(app, role).public for role in Role} == publics


def test_enrolling_needs_no_cold_key(app: Path) -> None:
    for role in (Role.ROOT, Role.AUTHORITY):
        keys.key_file(app, role).unlink()
    with Register.open(app / "register.db") as register:
        enrolment = keys.load(app, Role.ENROLMENT)
        enrol("ada@example.org", LOG_ID, enrolment, keys.master(app), register, expiry=7)
    with pytest.raises(UsageError, match="no key file"):
        keys.load(app, Role.ROOT)


def test_a_token(app: Path) -> None:
    enrolment, master = keys.load(app, Role.ENROLMENT), keys.master(app)
    with Register.open(":memory:") as register:
        token = enrol("ada@example.org", LOG_ID, enrolment, master, register, expiry=7)
        reset = enrol("ada@example.org", LOG_ID, enrolment, master, register, expiry=8, reset_of=3)
    again = IdentityToken.parse(token.export())
    assert again == token
    assert again.ephemeral.seed == token.ephemeral.seed
    cose.verify(token.delegation.envelope, cose.aad(cose.DELEGATION, LOG_ID))
    assert token.delegation.envelope.signers == (enrolment.public,)
    fields = [
        (t.delegation.purpose, t.delegation.epoch, t.delegation.expiry) for t in (token, reset)
    ]
    assert fields == [(Purpose.CREATE, 0, 7), (Purpose.RESET, 3, 8)]
    assert token.ephemeral != reset.ephemeral


def test_a_token_secret(app: Path) -> None:
    """R-96.3: the same in each token of one person, another for any other person, log, master."""
    enrolment, master = keys.load(app, Role.ENROLMENT), keys.master(app)
    assert keys.master(app) == master

    def secret(name: str = "ada", log_id: bytes = LOG_ID, of: bytes = master) -> bytes:
        with Register.open(":memory:") as register:  # forgotten each time
            return enrol(name, log_id, enrolment, of, register, expiry=7).secret

    assert secret() == secret() == hmac.new(master, LOG_ID + b"ada", sha256).digest()
    assert len({secret(), secret("bob"), secret(log_id=bytes(32)), secret(of=bytes(32))}) == 4


def test_an_identifier_keeps_its_nonce(app: Path) -> None:
    """R-52.4: a reset carries the commitment of the create, whichever token that came from."""
    with Register.open(app / "register.db") as register:
        assert "ada" not in register
        first = register.opening("ada")
        assert "ada" in register
        assert register.opening("ada") == first
        assert register.opening("bob").nonce != first.nonce
    with Register.open(app / "register.db") as register:
        assert register.opening("ada") == first
    assert stat.S_IMODE((app / "register.db").stat().st_mode) == 0o600


@pytest.mark.parametrize("identifier", ["", "a\nb", "x" * 255, "\x7f"])
def test_what_is_no_identifier(identifier: str) -> None:
    with Register.open(":memory:") as register:
        with pytest.raises(MalformedInput, match=r"R-36\.5"):
            register.opening(identifier)
        assert identifier not in register


def test_a_new_enrolment_key() -> None:
    founding = LogActor.make()
    actor, log = founding.after, MemoryLog(founding.raw)
    chain = log.chain(block.LOG_LABEL)
    assert chain
    new = signing_key("new enrolment")
    raw = rotate_enrolment(chain, log.anchor, log.log_id, new, actor.app_root, actor.log_key)
    block.verify(block.parse(raw), log.log_id)
    log.admit([raw])
    state = log.chains[block.LOG_LABEL].state
    assert isinstance(state, LogState)
    assert state.enrolment == new.public
    # A token of the old key is worth nothing from then on.
    late = User.create(actor, "ada@example.org", log.anchor, label=b"a" * 32)
    refused = log.offer(late.raw)
    assert isinstance(refused, RuleViolation)
    assert refused.rule == "R-52.1"


def test_a_policy_goes_into_the_logs_chain() -> None:
    founding = LogActor.make()
    actor, log = founding.after, MemoryLog(founding.raw)
    log.admit([User.create(actor, "ada", log.anchor, label=b"a" * 32).raw])
    with pytest.raises(UsageError):
        rotate_enrolment(
            log.chains[b"a" * 32],
            log.anchor,
            log.log_id,
            signing_key("new"),
            actor.app_root,
            actor.log_key,
        )
