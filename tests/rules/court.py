"""Everybody who judges the next block of a log with groups, each by what they know.

Anyone knows the log, a reader the statements too, the server what is handed in beside them. The
verifier is an auditor at the log's end, who is shown one more batch as a careless reader ends it.

>>> from dataclasses import replace
>>> from ledger.format.statement import Role
>>> world = World()
>>> ada = world.create()
>>> court = Court(world)
>>> team = Group.create("team", world.anchor, ada, {ada: Role.ADMIN})
>>> court.anyone(team).verdict, court.reader(team).verdict, court.server(team).verdict
('ok', 'ok', 'ok')
>>> court.auditor(replace(team, statement=b"")).verdict
'rule'
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from ledger.errors import BadSignature, MalformedInput, RuleViolation
from ledger.format import block
from ledger.format.statement import Statement
from ledger.log.admission import check_private
from ledger.log.planner import Admission, Batch, plan
from ledger.rules import membership
from ledger.rules.context import Context, Outcome
from ledger.rules.membership import Membership
from ledger.store.port import PrivateItem
from tests.rules.auditor import Auditor
from tests.support.actors import Written
from tests.support.groups import Group
from tests.support.vetting import plan_vetted
from tests.vectors.case import Judgement
from tests.vectors.groups_by_ledger import Resolved
from tests.vectors.world import World


class Court:
    """`found` are the memberships so far; `now` is the time of the next batch."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.found = Resolved(world.log)
        self._auditor = Auditor(world.log.log_id)

    def anyone(self, written: Written[Group]) -> Judgement:
        """By the log alone: R-40 to R-54."""
        log = self.world.log

        def judge() -> None:
            parsed = block.parse(written.raw)
            block.verify(parsed, log.log_id)
            _raise_refusal(plan(log, [parsed], self.world.now).results[0])

        return _judgement(judge)

    def reader(self, written: Written[Group]) -> Judgement:
        """With the statements: R-56.1 to R-56.9 too. Its output is the membership after it."""
        log, after = self.world.log, {}
        batch = Batch(log, self.world.now)

        def vet(at: Context, outcome: Outcome) -> None:
            statement = Statement.parse(written.statement or b"")
            before = self.found.of(batch.chain(at.block.label))
            after["membership"] = membership.apply(
                at, statement, before, batch.chain(statement.terms.author)
            )

        def judge() -> None:
            parsed = block.parse(written.raw)
            block.verify(parsed, log.log_id)
            _raise_refusal(batch.admit(parsed, vet))

        return replace(_judgement(judge), output=after or None)

    def server(self, written: Written[Group]) -> Judgement:
        """With everything: R-55.3 and R-56.10 too. Its output is what is to be kept."""
        log, kept = self.world.log, {}

        def judge() -> None:
            submission = written.submission
            check_private(submission)
            block.perform(submission.checks(log.log_id))
            planned, items = plan_vetted(log, [submission], self.world.now, self.found.stored)
            _raise_refusal(planned.results[0])
            (kept["item"],) = items

        return replace(_judgement(judge), output=kept or None)

    def verdicts(self, written: Written[Group]) -> tuple[Judgement, Judgement, Judgement]:
        """What anyone, a reader and the server make of a block."""
        return self.anyone(written), self.reader(written), self.server(written)

    def check_refusal(self, written: Written[Group], notices: str, rules: Collection[str]) -> None:
        """Whoever `notices`, and who knows more, refuses by one of `rules`; others take the block.
        The verifier, with and without the statement, agrees.
        """
        found = self.verdicts(written)
        first = ("anyone", "reader", "server").index(notices)
        assert [one.verdict for one in found[:first]] == ["ok"] * first, found
        assert {one.rule for one in found[first:]} <= set(rules), (found, rules)
        for auditor, ours in (
            (self.public_auditor(written), found[0]),
            (self.auditor(written), found[1]),
        ):
            assert auditor.verdict == ours.verdict, (auditor, ours)
            assert auditor.rule in ({""} if ours.verdict == "ok" else rules), (auditor, ours)

    def public_auditor(self, written: Written[Group]) -> Judgement:
        """The verifier, by the log alone."""
        return self.followed().judge(self.world.batch(written.raw), None)

    def auditor(self, written: Written[Group]) -> Judgement:
        """The verifier, by log and statements."""
        said = {self.world.log.head.size: written.statement or b""}
        return self.followed().judge(self.world.batch(written.raw), said)

    def followed(self) -> Auditor:
        """The verifier at the log's end."""
        seen, log = len(self._auditor.leaves), self.world.log
        if seen < log.head.size:
            statements = dict(self.world.statements)
            self._auditor = self._auditor.follow(log.entries[seen:], statements)
        return self._auditor

    def admit(self, written: Written[Group], reader: Judgement, server: Judgement) -> PrivateItem:
        """Takes over a block that everybody admits. What the server keeps of it."""
        assert reader.output
        assert server.output
        known, kept = reader.output["membership"], server.output["item"]
        assert isinstance(known, Membership)
        assert isinstance(kept, PrivateItem)
        assert kept.statement == (written.statement, known.encode())
        self.world.admit(written)
        self.found.memberships[kept.block_hash] = known
        return kept


def _raise_refusal(result: Admission | RuleViolation) -> None:
    if isinstance(result, RuleViolation):
        raise result


def _judgement(judge: Callable[[], None]) -> Judgement:
    try:
        judge()
    except MalformedInput as error:
        return Judgement("malformed", error.rule)
    except RuleViolation as error:
        return Judgement("signature" if isinstance(error, BadSignature) else "rule", error.rule)
    return Judgement("ok")
