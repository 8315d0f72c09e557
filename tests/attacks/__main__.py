"""`./run attacks`: carry out every attack, and print who caught it.

    ./run attacks                  # the table
    ./run attacks --json           # the same, for machines
    ./run attacks ghost token      # those whose names hold one of these words

Ends with 1 if an attack of 85-attacks is not carried out, or not caught as the table says.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import textwrap
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from tests.attacks.play import carry_out, missing
from tests.attacks.stage import Stage
from tests.attacks.table import NOBODY, Finding, Row, rows, spelled

WIDTHS = (38, 44, 32)
"""Of the columns: attack, caught by and by which rules, evidence."""


def main() -> int:
    options = _options()
    chosen = [row for row in rows() if _is_chosen(row, options.words)]
    gaps = missing()
    findings = asyncio.run(_play(chosen, show=not options.as_json))
    if options.as_json:
        facts = {"attacks": [_facts(one) for one in findings], "missing": gaps}
        print(json.dumps(facts, indent=2, ensure_ascii=False))
    for gap in gaps:
        print(f"missing: {gap}", file=sys.stderr)
    return int(bool(gaps) or any(one.problems for one in findings))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run attacks", description=(__doc__ or "").strip())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("words", nargs="*", help="only attacks whose names hold one of these")
    parser.add_argument("--json", action="store_true", dest="as_json")
    return parser.parse_args()


def _is_chosen(row: Row, words: Sequence[str]) -> bool:
    return not words or any(word in row.attack for word in words)


async def _play(chosen: Sequence[Row], *, show: bool) -> list[Finding]:
    """Carry them out one after the other; with `show`, print each as it is done."""
    found: list[Finding] = []
    async for finding in _findings(chosen):
        if show:
            _tell(finding, first_of_part=not found or found[-1].row.part != finding.row.part)
        found.append(finding)
    if show:
        _sum_up(found)
    return found


async def _findings(chosen: Sequence[Row]) -> AsyncIterator[Finding]:
    with tempfile.TemporaryDirectory() as path:
        async with Stage.open(Path(path)) as stage:
            for row in chosen:
                try:
                    yield await carry_out(stage, row)
                except Exception as error:  # noqa: BLE001  # the others are still to be seen
                    yield Finding(row, (), (), repr(error))


def _facts(finding: Finding) -> dict[str, object]:
    row = finding.row
    return {
        "part": row.part,
        "attack": row.attack,
        "preventable": row.preventable,
        "caught_by": {who: sorted(rules) for who, rules in finding.caught.items()},
        "evidence": sorted({(one.kind, one.verdict) for one in finding.verdicts}),
        "reason": row.why or None,
        "problems": finding.problems,
    }


def _tell(finding: Finding, *, first_of_part: bool) -> None:
    if first_of_part:
        print(f"\n{finding.row.part}")
        _line("attack", "caught by: by which rules", "evidence: judged")
    caught = spelled(finding.caught) if finding.row.preventable else NOBODY
    _line(finding.row.attack, caught, finding.evidence)
    for problem in finding.problems:
        print(f"  NOT AS IT SHOULD BE: {problem}")


def _line(*cells: str) -> None:
    """One row, its cells wrapped."""
    pairs = zip(cells, WIDTHS, strict=True)
    wrapped = [textwrap.wrap(cell, width) for cell, width in pairs]
    for number in range(max(map(len, wrapped))):
        parts = [lines[number] if number < len(lines) else "" for lines in wrapped]
        row = (part.ljust(width) for part, width in zip(parts, WIDTHS, strict=True))
        print(f"  {'  '.join(row)}".rstrip(), flush=True)


def _sum_up(found: Sequence[Finding]) -> None:
    tried = [one for one in found if one.row.preventable]
    caught = [one for one in tried if not one.problems]
    proven = [one for one in caught if any(v.verdict == "proven" for v in one.verdicts)]
    print(
        f"\n{len(caught)} of {len(tried)} attacks caught as 85-attacks says; "
        f"{len(proven)} of them proven to others by a file; "
        f"{len(found) - len(tried)} that nobody can prevent."
    )


if __name__ == "__main__":
    sys.exit(main())
