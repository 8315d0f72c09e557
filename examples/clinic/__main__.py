"""`python -m examples.clinic`: the story of the clinic, told in half a minute."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from examples.clinic.story import play


def main() -> int:
    """0 if everything went as it must, and nothing leaked."""
    with TemporaryDirectory(prefix="keyroll-clinic-") as path:
        outcome = asyncio.run(play(Path(path), Console()))
    return 0 if outcome.sound else 1


if __name__ == "__main__":
    sys.exit(main())
