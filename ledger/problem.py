"""Problem documents (RFC 9457): how both services answer what they refuse.

    {"type": "urn:keyroll:problem:<kind>", "title": …, "status": …, "detail": …, and more by kind}

>>> problem_document("busy", 503, "The queue is full", "try again").status
503
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from aiohttp import web

HTTP_ERRORS = {404: "not-found", 405: "method", 413: "too-large", 415: "media-type"}
"""The kinds of what aiohttp itself refuses, by status; another is `malformed`."""


def problem_document(
    kind: str,
    status: int,
    title: str,
    detail: str,
    *,
    more: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """The answer that says so."""
    document = {
        "type": f"urn:keyroll:problem:{kind}",
        "title": title,
        "status": status,
        "detail": detail,
        **(more or {}),
    }
    return web.Response(
        status=status,
        body=json.dumps(document).encode(),
        content_type="application/problem+json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )
