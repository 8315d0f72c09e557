"""The peers' toolchains, made ready once a test run, and their programs, run to the end.

Without a toolchain, or a network to fill it from, its tests are skipped and say why. Where
KEYROLL_PEERS is `required` they fail instead.

>>> done = await run(peer, "read", url, vkey)                     # doctest: +SKIP
>>> done.check().json["size"]
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

HERE = Path(__file__).parent
REQUIRED = os.environ.get("KEYROLL_PEERS") == "required"
_SET_UP_SECONDS = 300


class Missing(Exception):
    """A toolchain that is not here, or could not be filled."""


@dataclass(frozen=True)
class Done:
    """What a program said, and its exit code."""

    code: int
    out: bytes
    err: str

    def check(self) -> Done:
        """This, if the program ended well."""
        assert self.code == 0, self
        return self

    @property
    def json(self) -> Any:
        return json.loads(self.out)


async def run(*command: object, given: bytes = b"", **env: str) -> Done:
    """Run a program to its end. Asynchronous, since the log it asks may live in this process."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdin=-1, stdout=-1, stderr=-1, env={**os.environ, **env}
    )
    try:
        async with asyncio.timeout(60):
            out, err = await process.communicate(given)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return Done(process.returncode, out, err.decode("utf-8", "replace"))


@asynccontextmanager
async def daemon(*command: object, ready: Callable[[], bool]) -> AsyncIterator[None]:
    """A server of somebody's, from when it is `ready` to the end of the context."""
    with tempfile.TemporaryFile() as said:
        process = await asyncio.create_subprocess_exec(*map(str, command), stdout=said, stderr=said)
        try:
            async with asyncio.timeout(20):
                while not await asyncio.to_thread(ready):
                    if process.returncode is not None:
                        said.seek(0)
                        raise AssertionError(f"{command[0]} ended: {said.read()!r}")
                    await asyncio.sleep(0.02)
            yield
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()


def answers(url: str) -> Callable[[], bool]:
    """Whether there is a server at `url`, whatever it says."""

    def ready() -> bool:
        try:
            urlopen(url, timeout=5).close()
        except HTTPError:
            return True
        except OSError:
            return False
        return True

    return ready


def go_programs(place: Path) -> Path:
    """The folder of `peers` (ours, over others' libraries) and of the tools of go.mod."""
    go = program("go")
    # Read only: what go.sum does not know is not built. No other Go is downloaded, either.
    env = {"GOFLAGS": "-mod=readonly -buildvcs=false", "GOTOOLCHAIN": "local"}
    _set_up([go, "build", "-o", f"{place}/", ".", "tool"], HERE / "go", env)
    return place


def node_program(place: Path) -> list[str]:
    """The command that verifies COSE in JavaScript."""
    node, npm = program("node"), program("npm")
    for name in ("package.json", "package-lock.json", "cose.mjs"):
        shutil.copy(HERE / "node" / name, place)
    _set_up([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], place)
    return [node, str(place / "cose.mjs")]


def python_environment(place: Path) -> Path:
    """The folder of programs of an environment of the peers' own: they need another cbor2."""
    _set_up([sys.executable, "-m", "venv", str(place)], place)
    # aics-witness asks for Python 3.12, and runs on 3.11.
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--ignore-requires-python"]
    checked = ["--require-hashes", "--no-deps", "--only-binary", ":all:"]
    requirements = str(HERE / "python" / "requirements.txt")
    pip = [str(place / "bin" / "python"), "-m", "pip", "install"]
    _set_up([*pip, *options, *checked, "-r", requirements], place)
    return place / "bin"


def program(name: str) -> str:
    """Where a program is. Raises `Missing`."""
    found = shutil.which(name)
    if found is None:
        raise Missing(f"{name} is not installed")
    return found


def _set_up(command: list[str], place: Path, env: dict[str, str] | None = None) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=place,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=_SET_UP_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Missing(f"{command[0]} took more than {error.timeout:.0f} s") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise Missing(f"{Path(command[0]).name} could not set up: {' '.join(lines)}")
