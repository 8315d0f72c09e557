"""Kinds of options that several commands take."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from verifier.errors import Malformed
from verifier.policy import MAX_POLICY, Policy, parse_policy


class LogId(click.ParamType[bytes]):
    """64 hexadecimal digits."""

    name = "hex"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> bytes:
        if isinstance(value, str) and len(value) == 64:
            with contextlib.suppress(ValueError):
                return bytes.fromhex(value)
        return self.fail("a log id is 64 hexadecimal digits", param, ctx)


class PolicyFile(click.ParamType[Policy]):
    """A policy, in a file."""

    name = "file"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Policy:
        try:
            with Path(str(value)).open("rb") as file:
                return parse_policy(file.read(MAX_POLICY + 1))
        except OSError as error:
            return self.fail(f"{value} cannot be read: {error.strerror}", param, ctx)
        except Malformed as error:
            return self.fail(f"{value} is not a policy: {error}", param, ctx)
