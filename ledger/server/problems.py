"""Errors as RFC 9457 problem documents, and the guard around every handler (R-70.1).

The guard answers whatever a handler raises, counts every request and logs it: without body, query
or headers, since identifiers and keys may stand there. Successes are logged at level debug.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from ledger.errors import (
    Busy,
    ClockError,
    LogMisbehaved,
    MalformedInput,
    RuleViolation,
    StoreError,
)
from ledger.problem import HTTP_ERRORS, problem_document
from ledger.server.metrics import Metrics

METRICS = web.AppKey("metrics", Metrics)
DEBUG = web.AppKey("debug", bool)
"""Whether successes are logged: to ask the logger costs more than to answer."""

_logger = structlog.get_logger("keyroll.server")

# Kind -> status and title. The closed set of 70-http.
_KINDS = {
    "malformed": (400, "The request is not of its shape"),
    "unauthenticated": (401, "The login does not hold"),
    "forbidden": (403, "Not for the key that asks"),
    "not-found": (404, "There is no such page"),
    "no-tile": (404, "The tree has no such tile"),
    "no-chain": (404, "This label has no chain"),
    "no-box": (404, "There is no such box"),
    "method": (405, "This page does not take that method"),
    "stale-recipient": (409, "A key has changed meanwhile"),
    "timeout": (408, "The request's body took too long"),
    "too-large": (413, "The request's body is too large"),
    "media-type": (415, "The request's body is of another media type"),
    "too-many": (429, "Too many requests"),
    "internal": (500, "A bug in this server"),
    "busy": (503, "The queue is full"),
    "candidate": (409, "Another checkpoint is to be cosigned"),
    "not-covered": (503, "Auditors have yet to cosign"),
    "unavailable": (503, "The log can't write or sign at the moment"),
}


class Problem(Exception):
    """An answer other than success. `kind` is one of the closed set in 70-http."""

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        rule: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{kind}: {detail}")
        self.status, self.title = _KINDS[kind]
        self.kind = kind
        self.detail = detail
        self.rule = rule
        self.headers = dict(headers or {})

    def response(self) -> web.Response:
        """The problem document."""
        said = self.kind, self.status, self.title, self.detail
        more = {"rule": self.rule} if self.rule else {}
        return problem_document(*said, more=more, headers=self.headers)


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer, count and log a request, whatever becomes of it."""
    started = time.perf_counter()
    problem = None
    try:
        response = await handler(request)
    except asyncio.CancelledError:
        raise
    except Exception as error:
        problem = problem_of(error)
        if problem.status == 500:
            _logger.error("a bug", path=request.path, exc_info=error)
        response = problem.response()
    resource = request.match_info.route.resource
    route = resource.canonical if resource else "other"
    request.app[METRICS].request(route, response.status)
    if problem or request.app[DEBUG]:
        _log(request, response.status, problem, time.perf_counter() - started)
    return response


def _log(request: web.Request, status: int, problem: Problem | None, seconds: float) -> None:
    log = _logger.info if problem else _logger.debug
    log(
        "request",
        method=request.method,
        path=request.path,
        status=status,
        problem=problem and problem.kind,
        peer=request.remote,
        ms=round(seconds * 1000, 1),
    )


def problem_of(error: Exception) -> Problem:
    """What an error that a handler raised is to whoever asked."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, MalformedInput):
        return Problem("malformed", error.detail, rule=error.rule)
    if isinstance(error, RuleViolation):
        kind = "unauthenticated" if error.rule == "R-72.1" else "forbidden"
        return Problem(kind, error.detail, rule=error.rule)
    if isinstance(error, Busy):
        headers = {"Retry-After": f"{error.retry_after:.0f}"}
        return Problem("busy", str(error), rule="R-70.4", headers=headers)
    if isinstance(error, StoreError | ClockError):
        return Problem("unavailable", str(error))
    if isinstance(error, LogMisbehaved):
        return Problem("unavailable", "this log has contradicted itself: it writes no more")
    if isinstance(error, web.HTTPException) and error.status < 500:
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return Problem(HTTP_ERRORS.get(error.status, "malformed"), error.reason, headers=headers)
    return Problem("internal", "the server's log says more")
