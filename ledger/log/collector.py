"""Python's collector of cycles, in a process that sequences."""

from __future__ import annotations

import gc


def calm_collector() -> None:
    """Have Python look for cycles less often.

    Blocks on their way are many small objects without cycles, some 60 each; looking through them
    again and again took a fifth of the time, and still a twentieth with every 100,000th. What has
    cycles is let go of later: some 60 MB at most.
    """
    gc.set_threshold(400_000, 50, 100)
