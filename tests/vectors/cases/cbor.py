"""Single CBOR values (R-10.1 to R-10.3)."""

from __future__ import annotations

from collections.abc import Iterator

from tests.vectors.case import Case, bad, ok

CAP = 65_535

VALUES = [
    ("uint-0", "00", "Zero."),
    ("uint-23", "17", "The largest integer in one byte."),
    ("uint-24", "1818", "The smallest that needs a second byte."),
    ("uint-255", "18ff", "The largest in two bytes."),
    ("uint-256", "190100", "The smallest that needs three."),
    ("uint-65535", "19ffff", "The largest in three bytes."),
    ("uint-65536", "1a00010000", "The smallest that needs five."),
    ("uint-2-32-minus-1", "1affffffff", "The largest in five bytes."),
    ("uint-2-32", "1b0000000100000000", "The smallest that needs nine."),
    ("uint-2-64-minus-1", "1bffffffffffffffff", "The largest integer."),
    ("bytes-empty", "40", "No bytes."),
    ("bytes-24", "5818" + "00" * 24, "A byte string whose length needs a second byte."),
    ("bytes-256", "590100" + "00" * 256, "A byte string whose length needs three bytes."),
    ("text", "626869", "Text."),
    ("text-utf-8", "63e6b0b4", "Text of one character in three bytes."),
    ("text-24", "7818" + "61" * 24, "Text whose length needs a second byte."),
    ("array-empty", "80", "An empty array."),
    ("array-mixed", "86014102616380f5f6", "An array of all types."),
    ("array-24", "9818" + "00" * 24, "An array whose length needs a second byte."),
    ("depth-8", "81" * 7 + "80", "Eight arrays, one in another."),
    ("true", "f5", "true."),
    ("false", "f4", "false."),
    ("null", "f6", "null."),
]

WRONG = [
    ("uint-23-wide", "1817", "uint-23", "R-10.2", "23 in two bytes."),
    ("uint-255-wide", "1900ff", "uint-255", "R-10.2", "255 in three bytes."),
    ("uint-65535-wide", "1a0000ffff", "uint-65535", "R-10.2", "65,535 in five bytes."),
    (
        "uint-2-32-minus-1-wide",
        "1b00000000ffffffff",
        "uint-2-32-minus-1",
        "R-10.2",
        "2^32 − 1 in nine bytes.",
    ),
    ("bytes-wide", "5800", "bytes-empty", "R-10.2", "A length in two bytes."),
    ("bytes-24-wide", "590018" + "00" * 24, "bytes-24", "R-10.2", "A length in three bytes."),
    ("text-wide", "78026869", "text", "R-10.2", "A length in two bytes."),
    ("array-wide", "9800", "array-empty", "R-10.2", "A length in two bytes."),
    ("bytes-indefinite", "5f40ff", "bytes-empty", "R-10.2", "Of indefinite length."),
    ("text-indefinite", "7f626869ff", "text", "R-10.2", "Of indefinite length."),
    ("array-indefinite", "9fff", "array-empty", "R-10.2", "Of indefinite length."),
    ("trailing", "0000", "uint-0", "R-10.2", "A byte follows the value."),
    ("empty", "", "uint-0", "R-10.2", "No bytes at all."),
    ("uint-cut", "18", "uint-24", "R-10.2", "The head is cut short."),
    ("bytes-cut", "5818" + "00" * 23, "bytes-24", "R-10.2", "A byte is missing."),
    ("text-cut", "6268", "text", "R-10.2", "A byte is missing."),
    ("array-cut", "86014102616380", "array-mixed", "R-10.2", "Items are missing."),
    ("bytes-huge", "5bffffffffffffffff00", "bytes-empty", "R-10.2", "A length of 2^64 − 1."),
    ("array-huge", "9bffffffffffffffff00", "array-empty", "R-10.2", "2^64 − 1 items."),
    ("reserved-1c", "1c", "uint-0", "R-10.2", "A reserved head."),
    ("negative", "20", "uint-0", "R-10.3", "−1."),
    ("float-16", "f93c00", "uint-0", "R-10.3", "1.0 as a float of two bytes."),
    ("float-32", "fa3f800000", "uint-0", "R-10.3", "1.0 as a float of four bytes."),
    ("float-64", "fb3ff0000000000000", "uint-0", "R-10.3", "1.0 as a float of eight bytes."),
    ("float-nan", "f97e00", "uint-0", "R-10.3", "Not a number."),
    ("map-empty", "a0", "array-empty", "R-10.3", "An empty map."),
    ("map", "a10102", "array-mixed", "R-10.3", "A map."),
    ("tag", "c000", "uint-0", "R-10.3", "A tag."),
    ("tag-bignum", "c24101", "uint-0", "R-10.3", "1 as a bignum."),
    ("tag-self-described", "d9d9f700", "uint-0", "R-10.3", "The tag that marks CBOR."),
    ("undefined", "f7", "null", "R-10.3", "undefined."),
    ("simple-0", "e0", "null", "R-10.3", "A simple value without a name."),
    ("simple-255", "f8ff", "null", "R-10.3", "A simple value in two bytes."),
    ("text-not-utf-8", "62c328", "text-utf-8", "R-10.3", "A wrong second byte."),
    ("text-surrogate", "63eda080", "text-utf-8", "R-10.3", "A surrogate."),
    ("text-overlong", "62c080", "text-utf-8", "R-10.3", "NUL in two bytes."),
    ("text-beyond", "64f4908080", "text-utf-8", "R-10.3", "A character beyond U+10FFFF."),
    ("depth-9", "81" * 8 + "80", "depth-8", "R-10.3", "Nine arrays, one in another."),
]


def cases() -> Iterator[Case]:
    for name, data, shows in VALUES:
        yield ok("cbor", name, shows, bytes=data, cap=CAP)
    for name, data, nearest, rule, shows in WRONG:
        yield bad("cbor", name, rule, nearest, shows, bytes=data, cap=CAP)
    yield ok("cbor", "at-cap", "As many bytes as the cap.", bytes="43616263", cap=4)
    shows = "One byte more than the cap."
    yield bad("cbor", "beyond-cap", "R-10.1", "at-cap", shows, bytes="43616263", cap=3)
