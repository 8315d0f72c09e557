"""What people do, cut off at each point: `python -m tests.client.interrupted …`.

A point is where a request leaves, and where the answer has come to one that changes something; for
who is killed, also where a file is put in another's place, and where a transaction of a local
database ends. At its nth point a step finds the line cut (the request is lost, or the answer), or
its process is killed. Then it is done again, and must come to what it comes to undisturbed: nothing
is lost, nothing done twice. n goes on until the step has no nth point.

    python -m tests.client.interrupted WORLD STEP CUTS KILLS

WORLD is JSON. The line is cut at every CUTSth point, processes are killed at every KILLSth. What
comes out are the last points that were tried, of either kind.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from itertools import count, takewhile
from json import loads

from tests.client.points import Cut, Points, cut, kill
from tests.client.steps import STEPS, Scene, Step, World


async def lost(step: Step, scene: Scene, nth: int) -> bool:
    """The line is cut; whether there was an nth point for that."""
    scene.path.mkdir()
    await step.before(scene)
    points = Points(scene.begun, nth, cut)
    async with scene.at(step.home) as me:
        with points.at_requests():
            try:
                await step.act(scene, me)
                return False
            except Cut:
                await step.act(scene, me)
        await step.after(scene, me)
    return True


def killed(step: Step, scene: Scene, nth: int) -> bool:
    """A process is killed; whether there was an nth point for that."""
    scene.path.mkdir()
    scene.spare = step.ways_back
    asyncio.run(step.before(scene))
    status = _forked(lambda: _until_killed(step, scene, nth))
    if not os.WIFSIGNALED(status):
        assert status == 0
        return False
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert _forked(lambda: _again(step, scene)) == 0, f"{scene.name}: the lines above say why"
    return True


def _forked(act: Callable[[], Coroutine[None, None, None]]) -> int:
    """How a process ended that did this."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    try:
        asyncio.run(act())
        os._exit(0)
    except BaseException:  # noqa: BLE001 - nothing may come back from here
        sys.excepthook(*sys.exc_info())
        os._exit(1)


async def _until_killed(step: Step, scene: Scene, nth: int) -> None:
    points = Points(scene.begun, nth, kill)
    async with scene.at(step.home) as me:
        points.at_writes()
        with points.at_requests():
            await step.act(scene, me)


async def _again(step: Step, scene: Scene) -> None:
    async with scene.at(step.home) as me:
        with scene.begun_is_told():
            await step.act(scene, me)
        await step.after(scene, me)


def lost_at(world: World, name: str, nth: int) -> bool:
    """Whether the step has an nth request or answer to be lost."""
    scene = Scene(world, f"{name.lower()}.lost{nth}")
    return asyncio.run(lost(STEPS[name](), scene, nth))


def killed_at(world: World, name: str, nth: int) -> bool:
    """Whether it has an nth point to be killed at."""
    return killed(STEPS[name](), Scene(world, f"{name.lower()}.killed{nth}"), nth)


def main(world: World, name: str, cuts: int, kills: int) -> tuple[int, int]:
    """The last points where the line was cut, and where a process was killed, of every so many."""
    lost = takewhile(lambda nth: lost_at(world, name, nth), count(1, cuts))
    killed = takewhile(lambda nth: killed_at(world, name, nth), count(1, kills))
    return max(lost), max(killed)


if __name__ == "__main__":
    print(*main(World(**loads(sys.argv[1])), sys.argv[2], *map(int, sys.argv[3:])))
