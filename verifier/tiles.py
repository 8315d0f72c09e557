"""The layout in which a log's tree is published (C2SP tlog-tiles; specs/20-tree).

tile_path("entries", 1_234_067, 12)     # tile/entries/x001/x234/067.p/12
Bundle(path, data, found=256, width=12).entries()
"""

from __future__ import annotations

import re
from typing import NamedTuple

from verifier.errors import Malformed
from verifier.merkle import WIDTH

PATH = re.compile(
    r"tile/(?P<level>entries|[0-9]|[1-5][0-9]|6[0-3])/(?P<number>(?:x[0-9]{3}/)*[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?",
    re.ASCII,
)


def tile_path(level: int | str, number: int, width: int) -> str:
    """R-20.5."""
    digits = str(number)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    spelt = "/".join(["x" + group for group in groups[:-1]] + groups[-1:])
    return f"tile/{level}/{spelt}" + (f".p/{width}" if width < WIDTH else "")


def parse_path(path: str) -> tuple[str, int, int]:
    """R-20.5: level (or `entries`), number and width of a tile, 256 if full."""
    found = PATH.fullmatch(path)
    if found is None:
        raise Malformed("R-20.5", f"{path!r} is not the path of a tile")
    groups = found["number"].replace("x", "").split("/")
    width = int(found["width"] or WIDTH)
    if (found["width"] and width >= WIDTH) or (len(groups) > 1 and groups[0] == "000"):
        raise Malformed("R-20.5", f"{path!r} is not the one spelling of a tile's path")
    number = int("".join(groups))
    if number >= 2**63:
        raise Malformed("R-20.5", "a tile beyond the largest tree")
    return found["level"], number, width


def split_hashes(data: bytes, width: int) -> list[bytes]:
    """R-20.6: the hashes of a tile."""
    if len(data) != 32 * width:
        raise Malformed("R-20.6", f"{len(data)} bytes, not {32 * width}")
    return [data[at : at + 32] for at in range(0, len(data), 32)]


class Bundle(NamedTuple):
    """An entry bundle as it was served: `found` entries, of which the first `width` count."""

    path: str
    data: bytes
    found: int
    width: int

    def entries(self) -> list[bytes]:
        """R-20.6. An empty entry is let through, since a log could have signed for one."""
        data, entries, at = self.data, [], 0
        while at < len(data):
            end = at + 2 + int.from_bytes(data[at : at + 2], "big")
            entries.append(data[at + 2 : end])
            at = end
        if at != len(data):
            raise Malformed("R-20.6", "the bundle is cut short")
        if len(entries) != self.found:
            raise Malformed("R-20.6", f"{len(entries)} entries, not {self.found}")
        return entries[: self.width]
