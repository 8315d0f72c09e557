"""The walls of the house, read from the source with `ast`: who may import whom, and what is pure.

The rules are functions from source to findings (sentences), so each is shown a breach in a tree of
a few lines as well as the real one. A rule about a package that is not there yet finds nothing; a
package without a place in `MAY_IMPORT` is itself a finding, so that none slips by unjudged.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

ALL_BUT_CLI = (
    "errors format tree rules log store seal client app server recovery demo"
    " keyfile localfile durable settings rates problem value __init__"
)

# What each part of `ledger` may import beside itself; `a.b` admits that one module of `a`.
MAY_IMPORT: Mapping[str, frozenset[str]] = {
    part: frozenset(allowed.split())
    for part, allowed in {
        "errors": "",
        "value": "",
        "format": "errors tree value",
        "tree": "errors",
        "rules": "errors format tree value",
        "log": "errors format tree rules seal store.port value",
        "store": "errors format tree rules log.commit log.planner durable value",
        "seal": "errors format tree",
        "durable": "",
        "settings": "errors",
        "rates": "",
        "problem": "",
        "keyfile": "errors durable",
        "localfile": "errors",
        "client": "errors format tree rules log seal app localfile durable",
        "app": "errors format tree rules log seal client keyfile localfile",
        "recovery": "errors format seal keyfile localfile settings rates problem",
        "server": (
            "errors format tree rules log store seal app keyfile durable settings rates problem"
            " __init__"
        ),
        "demo": ALL_BUT_CLI,
        "cli": ALL_BUT_CLI,
        "__init__": "errors format tree rules log seal client app localfile",
    }.items()
}

# No I/O, no clock, no randomness: `now` and random bytes are arguments. A package stands for all
# that is in it.
CORE = (
    "ledger.format",
    "ledger.tree",
    "ledger.rules",
    "ledger.log.planner",
    "ledger.log.replay",
    "ledger.recovery.vouching",
    "ledger.client.group.groups",
    "ledger.client.verify",
    "ledger.client.history",
    "ledger.client.doubts",
    "ledger.client.user.keyring",
    "ledger.client.lookups.light",
    "ledger.client.lookups.light_chain",
    "ledger.client.policy",
    "ledger.client.evidence.exhibits",
    "ledger.client.lookups.pins",
    "ledger.client.lookups.tidings",
    "ledger.client.lookups.pin_records",
)
IMPURE = (
    *("time", "datetime", "random", "secrets", "uuid", "nacl.utils", "nacl.bindings.randombytes"),
    *("os", "pathlib", "shutil", "tempfile", "lmdb"),
    *("socket", "ssl", "aiohttp", "asyncio", "subprocess", "threading"),
)
IMPURE_BUILTINS = frozenset({"open", "input", "print"})


@dataclass(frozen=True, slots=True)
class Module:
    """One source file: its dotted name, its syntax tree and the names it imports, all absolute."""

    name: str
    tree: ast.Module
    imports: frozenset[str]


def load(root: Path, package: str) -> dict[str, Module]:
    """Every module of `package` under `root`, by dotted name."""
    modules = {}
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        tree = ast.parse(path.read_text("utf-8"), str(path))
        base = name if is_package else name.rpartition(".")[0]
        modules[name] = Module(name, tree, frozenset(imported(tree, base)))
    return modules


def imported(tree: ast.AST, base: str) -> Iterator[str]:
    """Every name imported anywhere in `tree`, inside functions too. `base` is its package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = base.split(".")[: 1 - node.level or None] if node.level else []
            origin = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def within(name: str, place: str) -> bool:
    """Whether dotted `name` is `place` or lies in it."""
    return name == place or name.startswith(place + ".")


def edges(modules: Mapping[str, Module]) -> dict[str, frozenset[str]]:
    """Which of `modules` each of them imports: of `a.b.c` the longest that is a module."""

    def resolve(name: str) -> str | None:
        while name and name not in modules:
            name = name.rpartition(".")[0]
        return name or None

    return {
        name: frozenset(filter(None, map(resolve, module.imports))) - {name}
        for name, module in modules.items()
    }


def reachable(start: str, graph: Mapping[str, frozenset[str]]) -> set[str]:
    """`start` and everything it imports, at any remove."""
    seen, pending = set(), [start]
    while pending:
        name = pending.pop()
        if name not in seen:
            seen.add(name)
            pending.extend(graph[name])
    return seen


def part(name: str) -> str:
    """Where a module belongs: `log` for `ledger.log.planner`, `__init__` for `ledger` itself."""
    return name.split(".")[1] if "." in name else "__init__"


def unplaced_parts(modules: Mapping[str, Module]) -> Iterator[str]:
    for name in modules:
        if part(name) not in MAY_IMPORT:
            yield f"{name}: '{part(name)}' has no place in MAY_IMPORT; give it one"


def layer_breaches(modules: Mapping[str, Module]) -> Iterator[str]:
    for name, targets in edges(modules).items():
        allowed = MAY_IMPORT.get(part(name), frozenset())
        for target in sorted(targets):
            inside = part(name) == part(target) or part(target) in allowed
            if not inside and not any(within(target, f"ledger.{one}") for one in allowed):
                yield f"{name} imports {target}"


def server_side_in_client(modules: Mapping[str, Module]) -> Iterator[str]:
    """The client must not reach the server or a database by way of others either."""
    graph = edges(modules)
    for name in (name for name in modules if part(name) == "client"):
        for target in sorted(reachable(name, graph)):
            if part(target) in {"server", "store", "cli"} and target != "ledger.store.port":
                yield f"{name} reaches {target}"


def impurities(modules: Mapping[str, Module]) -> Iterator[str]:
    graph = edges(modules)
    for name in modules:
        if any(within(name, place) for place in CORE):
            for target in sorted(reachable(name, graph)):
                yield from (f"{name}: {finding}" for finding in impure(modules[target]))


def impure(module: Module) -> Iterator[str]:
    for name in sorted(module.imports):
        if any(within(name, place) for place in IMPURE):
            yield f"{module.name} imports {name}"
    for node in ast.walk(module.tree):
        match node:
            case ast.Call(func=ast.Name(id=called)) if called in IMPURE_BUILTINS:
                yield f"{module.name} calls {called}"


def cycles(modules: Mapping[str, Module]) -> Iterator[str]:
    try:
        TopologicalSorter(edges(modules)).prepare()
    except CycleError as error:
        yield " ← ".join(error.args[1])


def strangers(modules: Mapping[str, Module], package: str) -> Iterator[str]:
    for module in modules.values():
        for name in sorted(module.imports):
            if within(name, package):
                yield f"{module.name} imports {name}"


Rule = Callable[[Mapping[str, Module]], Iterator[str]]
LEDGER_RULES: tuple[Rule, ...] = (
    unplaced_parts,
    layer_breaches,
    server_side_in_client,
    impurities,
    cycles,
)


@pytest.fixture(scope="module")
def ledger() -> dict[str, Module]:
    modules = load(ROOT, "ledger")
    assert {"ledger", "ledger.errors", "ledger.demo"} <= modules.keys()
    return modules


@pytest.fixture(scope="module")
def verifier() -> dict[str, Module]:
    modules = load(ROOT, "verifier")
    assert "verifier" in modules
    return modules


@pytest.mark.parametrize("rule", LEDGER_RULES)
def test_the_ledger_keeps_its_walls(rule: Rule, ledger: dict[str, Module]) -> None:
    assert list(rule(ledger)) == []


def test_ledger_and_verifier_share_nothing(
    ledger: dict[str, Module], verifier: dict[str, Module]
) -> None:
    assert list(strangers(ledger, "verifier")) == []
    assert list(strangers(verifier, "ledger")) == []


def test_the_verifier_has_no_circles(verifier: dict[str, Module]) -> None:
    assert list(cycles(verifier)) == []


def test_every_source_file_is_read(ledger: dict[str, Module], verifier: dict[str, Module]) -> None:
    for package, modules in (("ledger", ledger), ("verifier", verifier)):
        assert len(modules) == len(list((ROOT / package).rglob("*.py"))) > 0


def write(root: Path, files: Mapping[str, str]) -> dict[str, Module]:
    for name, text in files.items():
        path = root / f"ledger/{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return load(root, "ledger")


# Each breach beside its nearest allowed neighbour: one file is all that differs.
BREACHES = [
    (unplaced_parts, {"helpers": ""}, {"errors": ""}),
    (layer_breaches, {"format/a": "import ledger.rules.c"}, {"format/a": "import ledger.tree.b"}),
    (layer_breaches, {"tree/b": "import ledger.format.a"}, {"tree/b": "import ledger.errors"}),
    (layer_breaches, {"errors": "import ledger.tree.b"}, {"rules/c": "import ledger.tree.b"}),
    (layer_breaches, {"rules/c": "from ..log import d"}, {"log/e": "from ..log import d"}),
    (layer_breaches, {"log/d": "import ledger.store.lmdb"}, {"log/d": "import ledger.store.port"}),
    (layer_breaches, {"store/p": "import ledger.log.d"}, {"store/p": "import ledger.log.commit"}),
    (layer_breaches, {"seal/s": "from ledger.rules import c"}, {"seal/s": "import ledger.tree.b"}),
    (layer_breaches, {"client/k": "import ledger.server.h"}, {"demo/k": "import ledger.server.h"}),
    (layer_breaches, {"server/h": "import ledger.client.k"}, {"app/h": "import ledger.client.k"}),
    (layer_breaches, {"demo/d": "import ledger.cli"}, {"cli/d": "import ledger.cli"}),
    (
        layer_breaches,
        {"tree/b": "def f() -> None:\n    from ledger import cli"},
        {"tree/b": "def f() -> None:\n    from ledger import errors"},
    ),
    (
        server_side_in_client,
        {"store/port": "import ledger.store.lmdb", "client/k": "from ledger.log import waits"},
        {"store/port": "import ledger.errors", "client/k": "from ledger.log import waits"},
    ),
    (impurities, {"log/planner": "import time"}, {"log/sequencer": "import time"}),
    (impurities, {"log/planner": "from os import path"}, {"log/planner": "import ossuary"}),
    (impurities, {"errors": "import random", "rules/c": "import ledger.errors"}, {"rules/c": ""}),
    (impurities, {"format/a": "import nacl.utils"}, {"format/a": "import nacl.bindings"}),
    (impurities, {"client/verify": "open('pins')"}, {"client/verify": "pins.open('pins')"}),
    (cycles, {"rules/c": "from . import e", "rules/e": "from . import c"}, {"rules/e": ""}),
]  # fmt: skip
AROUND = {
    "cli/__init__": "",
    "client/k": "",
    "errors": "",
    "format/a": "",
    "log/commit": "",
    "log/d": "",
    "log/waits": "import ledger.store.port",
    "rules/c": "",
    "server/h": "",
    "store/lmdb": "",
    "store/port": "",
    "tree/b": "",
}


@pytest.mark.parametrize(("rule", "breach", "neighbour"), BREACHES)
def test_each_rule_finds_a_breach_and_only_that(
    rule: Rule, breach: dict[str, str], neighbour: dict[str, str], tmp_path: Path
) -> None:
    assert list(rule(write(tmp_path / "breach", AROUND | breach)))
    assert list(rule(write(tmp_path / "neighbour", AROUND | neighbour))) == []


def test_a_stranger_is_found(tmp_path: Path) -> None:
    assert list(strangers(write(tmp_path, {"a": "from verifier.tree import root"}), "verifier"))
    assert not list(strangers(write(tmp_path, {"a": "import verifiers"}), "verifier"))


# Arguments: the package to hide, then the modules to import without it.
IMPORT_WITHOUT = """
import importlib, sys

hidden, *names = sys.argv[1:]

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == hidden:
            raise ModuleNotFoundError(f"{name} is hidden", name=name)

sys.meta_path.insert(0, Hide())
for name in names:
    importlib.import_module(name)
print(len(names))
"""


def import_without(hidden: str, names: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", IMPORT_WITHOUT, hidden, *names]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(("package", "hidden"), [("verifier", "ledger"), ("ledger", "verifier")])
def test_each_side_imports_without_the_other(package: str, hidden: str) -> None:
    names = [name for name in load(ROOT, package) if not name.endswith("__main__")]
    done = import_without(hidden, names)
    assert (done.returncode, done.stdout.strip()) == (0, str(len(names))), done.stderr


def test_what_is_hidden_cannot_be_imported() -> None:
    done = import_without("ledger", ["ledger.errors"])
    assert done.returncode == 1
    assert "ledger is hidden" in done.stderr


# Written in pieces, so that this file does not match itself.
UNWANTED = re.compile(
    "|".join(
        [
            r"(?<![\w.])/" + r"(?:work|root|home|tmp/\w+)/",
            r"https?://\S*/" + r"simple\b",
            r"pypi\." + r"org|python" + r"hosted\.",
            r"(?:index|find)-" + r"(?:url|links)",
        ]
    )
)
TEXT_SUFFIXES = frozenset({".py", ".md", ".toml", ".sh", ".json", ".cddl"})
TEXT_NAMES = frozenset({"run", "requirements.lock"})


def text_files(root: Path) -> Iterator[Path]:
    """What git tracks, as far as names tell: no directory with a dot but `.ci`."""
    for path in root.rglob("*"):
        folders = path.relative_to(root).parts[:-1]
        visible = not any(folder.startswith(".") and folder != ".ci" for folder in folders)
        if visible and (path.suffix in TEXT_SUFFIXES or path.name in TEXT_NAMES) and path.is_file():
            yield path


def unwanted(root: Path) -> list[str]:
    return [
        f"{path.relative_to(root)}:{number}: {line.strip()}"
        for path in text_files(root)
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if UNWANTED.search(line)
    ]


def test_no_file_names_a_machine_or_a_registry() -> None:
    names = {str(path.relative_to(ROOT)) for path in text_files(ROOT)}
    assert {"run", ".ci/run", "pyproject.toml", "requirements.lock", "ledger/errors.py"} <= names
    assert unwanted(ROOT) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see /" + "work/main", True),
        ("see /network/main, ../" + "work/main", False),
        ("cd /" + "tmp/mine/x", True),
        ("cd /tmp/x", False),
        ("https://example.org/" + "simple", True),
        ("https://example.org/simplest", False),
        ("--no-" + "index-" + "url", True),
    ],
)
def test_unwanted_strings_are_found(text: str, found: bool, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(text, "utf-8")
    assert bool(unwanted(tmp_path)) is found
