r"""`config.toml`, read strictly into frozen dataclasses: one of all, with a field for each section.

Every setting has a default, whose type is the setting's. An unknown section or setting is an error,
so that no typo goes unnoticed.

>>> from dataclasses import dataclass, field
>>> @dataclass(frozen=True)
... class Server:
...     port: int = 8480
>>> @dataclass(frozen=True)
... class Config:
...     server: Server = field(default_factory=Server)
>>> parse(Config, "[server]\nport = 9000", "config.toml").server.port
9000

Errors: `UsageError`, whose sentence names the file and the setting.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from limits import parse as parse_rate

from ledger.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")

_SPELLINGS: dict[type, tuple[type, ...]] = {float: (float, int), tuple: (list,)}
"""How TOML writes a setting of some type."""


def read(kind: type[C], path: Path) -> C:
    """The configuration in a file."""
    try:
        return parse(kind, path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def parse(kind: type[C], text: str, name: str) -> C:
    """The configuration that `text` spells; `name` is for error messages."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name} is not TOML: {error}") from error
    sections: dict[str, Any] = {item.name: item.default_factory for item in fields(kind)}
    for key, values in found.items():
        if key not in sections or not isinstance(values, dict):
            raise UsageError(f"{name}: there is no section [{key}]")
    parts = {key: _section(one, key, found.get(key, {}), name) for key, one in sections.items()}
    return kind(**parts)


def _section(kind: type[Any], section: str, values: Mapping[str, object], name: str) -> Any:
    types: dict[str, type] = {item.name: type(item.default) for item in fields(kind)}
    for key, value in values.items():
        if key not in types:
            raise UsageError(f"{name}: there is no setting {key} in [{section}]")
        wanted = types[key]
        allowed = _SPELLINGS.get(wanted, (wanted,))
        if type(value) not in allowed:
            raise UsageError(f"{name}: {key} in [{section}] is not of type {allowed[0].__name__}")
    lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    return kind(**{**values, **lists})


def check_ranges(name: str, ranges: Mapping[str, tuple[float, float, float]]) -> None:
    """Refuse a setting, by its value, least and greatest, that is out of its range."""
    for key, (value, low, high) in ranges.items():
        if not low <= value <= high:
            raise UsageError(f"{name}: {key} is {value}, not within {low} to {high}")


def check_rate(name: str, key: str, rate: str) -> None:
    """Refuse what is no rate."""
    try:
        parse_rate(rate)
    except ValueError:
        raise UsageError(f'{name}: {key} is "{rate}", not such as "60/minute"') from None


def check_level(name: str, level: str) -> None:
    """Refuse what is no level of logging."""
    if level not in ("debug", "info", "warning", "error"):
        raise UsageError(f"{name}: level is debug, info, warning or error")
