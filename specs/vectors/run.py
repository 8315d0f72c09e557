#!/usr/bin/env python3
"""Runs the corpus against a program that judges cases, and says where it differs.

    python3 specs/vectors/run.py COMMAND [ARGUMENT ...]
    python3 specs/vectors/run.py --kind log --kind group --rules keyroll-verifier judge --json

COMMAND is run as `COMMAND ARGUMENT ... FILE ...`, with at most --chunk files at once. Each file is
KIND/NAME.json and holds `input` alone: verdicts stay here. For each file the program writes one
line to its standard output, in any order: a JSON object with

    file      the path as it was given
    verdict   ok, malformed, signature or rule; null if the program does not judge this kind
    rule      the rule that a refusal names; compared with --rules only
    output    if ok: what the input yields

Its exit code and its standard error say nothing here. A kind is left out only as a whole: null for
one case and a verdict for another is a difference.

Prints a table of what differs, then a summary. Ends with 0 if something was judged and nothing
differs, with 1 otherwise, and with 2 if the command could not be run at all.

Needs Python 3.11 and nothing else.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Case:
    """What a case must come to. `output` is None where the corpus fixes none."""

    kind: str
    name: str
    given: Any
    verdict: str
    rule: str
    output: Any

    @classmethod
    def read(cls, path: Path) -> Case:
        fields = json.loads(path.read_text("utf-8"))
        told = fields["verdict"], fields.get("rule", ""), fields.get("output")
        return cls(path.parent.name, path.stem, fields["input"], *told)

    @property
    def path(self) -> str:
        return f"{self.kind}/{self.name}.json"


@dataclass(frozen=True)
class Difference:
    """A row of the table."""

    case: str
    expected: str
    found: str


def corpus(folder: Path, kinds: Iterable[str]) -> list[Case]:
    """All cases, or those of some kinds."""
    wanted = set(kinds)
    cases = [Case.read(path) for path in sorted(folder.glob("*/*.json"))]
    unknown = wanted - {case.kind for case in cases}
    if unknown:
        raise SystemExit(f"run.py: there is no kind {', '.join(sorted(unknown))}")
    return [case for case in cases if not wanted or case.kind in wanted]


def ask(command: Sequence[str], cases: Sequence[Case], chunk: int) -> Iterator[str]:
    """The lines that the command writes about the cases, whose inputs it finds in files."""
    with tempfile.TemporaryDirectory(prefix="vectors-") as place:
        files = [_blind(Path(place), case) for case in cases]
        for start in range(0, len(files), chunk):
            part = [*command, *map(str, files[start : start + chunk])]
            done = subprocess.run(part, stdout=subprocess.PIPE, check=False)
            for line in done.stdout.decode("utf-8", "replace").splitlines():
                yield line.replace(json.dumps(place + "/")[1:-1], "", 1)


def _blind(place: Path, case: Case) -> Path:
    """A copy of the case that does not give its verdict away."""
    path = place / case.path
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"input": case.given}), "utf-8")
    return path


def answers(lines: Iterable[str], faults: list[Difference]) -> dict[str, Mapping[str, Any]]:
    """What was said about each file. What can't be understood goes to `faults`."""
    said: dict[str, Mapping[str, Any]] = {}
    for line in lines:
        try:
            answer = json.loads(line)
            path, _ = answer["file"], answer["verdict"]
        except (ValueError, TypeError, KeyError):
            faults.append(Difference("?", "a JSON object with file and verdict", line[:80]))
            continue
        if path in said:
            faults.append(Difference(path, "one line", "another line"))
        said[path] = answer
    return said


def compare(
    cases: Sequence[Case], said: Mapping[str, Mapping[str, Any]], *, rules: bool
) -> Iterator[Difference]:
    """Where the answers differ from the corpus."""
    judged = {case.kind for case in cases if said.get(case.path, {}).get("verdict") is not None}
    known = {case.path for case in cases}
    yield from (Difference(path, "no such file", "a line") for path in said if path not in known)
    for case in cases:
        answer = said.get(case.path)
        if answer is None:
            yield Difference(case.path, case.verdict, "no line")
        elif answer["verdict"] is None:
            if case.kind in judged:
                yield Difference(case.path, case.verdict, "not judged, though its kind is")
        else:
            yield from _differs(case, answer, rules=rules)


def _differs(case: Case, answer: Mapping[str, Any], *, rules: bool) -> Iterator[Difference]:
    if answer["verdict"] != case.verdict:
        told = f"{case.verdict} {case.rule}".strip()
        found = f"{answer['verdict']} {answer.get('rule') or ''}".strip()
        yield Difference(case.path, told, found)
    elif rules and case.rule and answer.get("rule") != case.rule:
        yield Difference(case.path, case.rule, str(answer.get("rule")))
    elif case.output is not None and _spelled(answer.get("output")) != _spelled(case.output):
        yield Difference(case.path, _spelled(case.output), _spelled(answer.get("output")))


def _spelled(value: Any) -> str:
    """So that true is not 1, nor 1.0."""
    return json.dumps(value, sort_keys=True)


def table(differences: Sequence[Difference]) -> Iterator[str]:
    """The differences, a line each, in three columns."""
    if not differences:
        return
    rows = [("case", "expected", "found")]
    rows += [(one.case, _cut(one.expected), _cut(one.found)) for one in differences]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for case, expected, found in rows:
        yield f"{case:<{widths[0]}}  {expected:<{widths[1]}}  {found}"


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def summary(
    cases: Sequence[Case], said: Mapping[str, Mapping[str, Any]], differing: int
) -> tuple[str, int]:
    """The last line, and how many cases were judged."""
    left_out = Counter(c.kind for c in cases if said.get(c.path, {}).get("verdict", "") is None)
    judged = len(cases) - sum(left_out.values())
    line = f"{len(cases)} cases: {judged} judged, {differing} differences"
    if left_out:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(left_out.items()))
        line += f"; not judged: {kinds}"
    return line, judged


def main() -> int:
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--kind", action="append", default=[], help="only this kind; repeatable")
    parser.add_argument("--rules", action="store_true", help="compare the rules named, too")
    parser.add_argument("--chunk", type=int, default=200, help="how many files at once (200)")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="another folder of cases")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the program and its arguments")
    options = parser.parse_args()
    if not options.command:
        parser.error("name the program to run")
    cases = corpus(options.corpus, options.kind)
    faults: list[Difference] = []
    try:
        said = answers(ask(options.command, cases, max(1, options.chunk)), faults)
    except OSError as error:
        parser.error(f"{options.command[0]}: {error.strerror}")
    differences = [*faults, *compare(cases, said, rules=options.rules)]
    line, judged = summary(cases, said, len(differences))
    print(*table(differences), line, sep="\n")
    return 0 if judged and not differences else 1


if __name__ == "__main__":
    sys.exit(main())
