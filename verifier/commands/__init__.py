"""The commands of `keyroll-verifier`: a module each, whose `command` is added here.

Each ends with the exit code of its outcome, which it returns. What a command needs and the audit
does not, it imports when it runs.
"""

from __future__ import annotations

import click

from verifier.commands import (
    audit,
    check_evidence,
    judge,
    keygen,
    verify_lookup,
    verify_proof,
    witness,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Audits Keyroll logs, witnesses them, judges what they gave out; believes nothing.

    Exit codes: 0 verified, 1 misbehaviour (audit saves its evidence), 2 could not decide.
    """


for module in (audit, check_evidence, judge, keygen, verify_lookup, verify_proof, witness):
    commands.add_command(module.command)
