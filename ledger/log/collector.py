"""Python's collector of cycles, in a process that sequences."""

from __future__ import annotations

import gc


def calm_collector() -> None:
    """Have Python look for cycles less often.

    Blocks on their way are many small objects without cycles; looking through them again and again
    took a fifth of the time.
    """
    gc.set_threshold(100_000, 50, 100)
