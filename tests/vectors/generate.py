"""Writes `specs/vectors`, the same bytes in every run.

    python -m tests.vectors.generate            write all files, remove stale ones
    python -m tests.vectors.generate --check    write nothing; fail if anything would change

Inputs and verdicts come from the case tables. The output of a passing case is what the ledger says,
unless its table fixed it; the verifier must say the same (`test_vectors`).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from itertools import chain
from pathlib import Path

from tests.vectors import by_ledger
from tests.vectors.case import Case

FOLDER = Path(__file__).parents[2] / "specs" / "vectors"

MODULES = (
    "block_envelope",
    "block_payload",
    "block_values",
    "boxes",
    "cbor",
    "checkpoints",
    "directory_proofs",
    "evidence_directories",
    "evidence_places",
    "evidence_statements",
    "evidence_trees",
    "group_block",
    "group_stale",
    "group_submission",
    "group_wishes",
    "keys",
    "labels",
    "log_anchor",
    "log_batch",
    "log_chain",
    "log_delegation",
    "log_device",
    "log_directory",
    "log_group",
    "log_group_keys",
    "log_keys",
    "log_limits",
    "log_policy",
    "lookup_answer",
    "lookup_chain",
    "lookup_shape",
    "lookup_tree",
    "notes",
    "policies",
    "proofs",
    "statement_author",
    "statement_changes",
    "statement_place",
    "statement_shape",
    "tiles",
    "tree",
)


def cases() -> Iterator[Case]:
    """Every case, complete."""
    modules = (import_module(f"tests.vectors.cases.{name}") for name in MODULES)
    return map(complete, chain.from_iterable(module.cases() for module in modules))


def complete(case: Case) -> Case:
    """`case` with its output."""
    if case.verdict != "ok" or case.output is not None:
        return case
    return replace(case, output=by_ledger.judge(case.kind, case.input).output)


def files() -> dict[str, bytes]:
    """What `specs/vectors` must hold, beside its README: path -> bytes."""
    found: dict[str, bytes] = {}
    for case in cases():
        if case.path in found:
            raise ValueError(f"two cases are called {case.path}")
        found[case.path] = case.encode()
    return found


def existing() -> dict[str, bytes]:
    """What `specs/vectors` holds."""
    paths = FOLDER.glob("*/*")
    return {path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in paths}


def differences(wanted: dict[str, bytes], found: dict[str, bytes]) -> list[str]:
    """What would change, a line each."""
    changed = [path for path in wanted.keys() & found.keys() if wanted[path] != found[path]]
    lines = {
        "missing": wanted.keys() - found.keys(),
        "stale": found.keys() - wanted.keys(),
        "changed": changed,
    }
    return [f"{what}: {path}" for what, paths in lines.items() for path in sorted(paths)]


def write(wanted: dict[str, bytes], found: dict[str, bytes]) -> None:
    """Makes the folder hold exactly `wanted`."""
    for path in found.keys() - wanted.keys():
        (FOLDER / path).unlink()
    for path, data in wanted.items():
        if found.get(path) != data:
            (FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
            (FOLDER / path).write_bytes(data)


def main() -> int:
    parser = argparse.ArgumentParser(description="Make specs/vectors again.")
    parser.add_argument("--check", action="store_true", help="compare only")
    checking = parser.parse_args().check
    wanted, found = files(), existing()
    changes = differences(wanted, found)
    if not checking:
        write(wanted, found)
    print("\n".join([*changes, f"{len(wanted)} vectors"]))
    return 1 if checking and changes else 0


if __name__ == "__main__":
    raise SystemExit(main())
