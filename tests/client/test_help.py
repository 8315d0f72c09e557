"""Every command's help has an example of itself, and each example is one that could be typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from ledger import cli
from tests.client.test_cli import keyroll
from verifier import commands as verifier

Found = tuple[tuple[str, ...], click.Command, click.Context]
_PIPED = re.compile(r" [<>] |\s{2,}\(")


def below(command: click.Command, path: tuple[str, ...], above: click.Context | None) -> Found:
    context = click.Context(command, parent=above, info_name=path[-1])
    return path, command, context


def leaves(found: Found) -> Iterator[Found]:
    path, command, context = found
    if not isinstance(command, click.Group):
        yield found
        return
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner
        yield from leaves(below(inner, (*path, name), context))


COMMANDS = [
    *leaves(below(cli.commands, ("keyroll",), None)),
    *leaves(below(verifier.commands, ("keyroll-verifier",), None)),
]


@pytest.mark.parametrize("found", COMMANDS, ids=lambda found: " ".join(found[0]))
def test_examples(found: Found) -> None:
    path, command, context = found
    assert command.help
    lines = [line.strip() for line in (command.epilog or "").splitlines()]
    words = [_PIPED.split(line.removeprefix("Example: "))[0] for line in lines]
    typed = [shlex.split(line) for line in words if line.startswith("keyroll")]
    own = [tuple(words[len(path) :]) for words in typed if tuple(words[: len(path)]) == path]
    assert own
    for arguments in own:
        values, rest, _ = command.make_parser(context).parse_args(list(arguments))
        assert rest == []
        for parameter in command.params:
            given = values.get(parameter.name or "") not in (None, ())
            assert given or not parameter.required, (parameter.name, arguments)


async def test_nothing_is_opened_to_standard_output() -> None:
    """What comes out before all of it was judged is not to be believed."""
    done = await keyroll("decrypt", "findings.sealed", "-o", "-")
    assert (done.code, "name a file" in done.err) == (2, True)
