"""Errors as RFC 9457 problem documents, and the guard around every handler.

The guard logs path, status and kind, never a body: addresses, codes and secrets stand there.
"""

from __future__ import annotations

import asyncio

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from ledger.errors import MalformedInput, RuleViolation, StoreError
from ledger.problem import HTTP_ERRORS, problem_document
from ledger.recovery.attempts import NothingHere, NotYet, TooMany, WrongCode
from ledger.recovery.halves import NoRoom

# Kind -> status and title.
_KINDS = {
    "malformed": (400, "The request is not of its shape"),
    "unauthenticated": (401, "The login does not hold"),
    "forbidden": (403, "Not for the key that asks"),
    "wrong-code": (403, "Not the code, or not any more"),
    "not-found": (404, "There is nothing of this kind"),
    "method": (405, "This page does not take that method"),
    "not-yet": (409, "The release waits"),
    "too-large": (413, "The request's body is too large"),
    "media-type": (415, "The request's body is of another media type"),
    "too-many": (429, "Too many requests"),
    "internal": (500, "A bug in this server"),
    "unavailable": (503, "The service can't write at the moment"),
}

_logger = structlog.get_logger("keyroll.recovery")


class Problem(Exception):
    """An answer other than success; `due` (ms) says until when a release waits."""

    def __init__(self, kind: str, detail: str, due: int | None = None) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.due = due

    def response(self) -> web.Response:
        """The problem document."""
        more = {} if self.due is None else {"due": self.due}
        return problem_document(self.kind, *_KINDS[self.kind], self.detail, more=more)


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a request, whatever becomes of it."""
    try:
        return await handler(request)
    except asyncio.CancelledError:
        raise
    except Exception as error:
        problem = problem_of(error)
        if problem.kind == "internal":
            _logger.error("a bug", path=request.path, exc_info=error)
        resource = request.match_info.route.resource
        route = resource.canonical if resource else "other"
        _logger.info("refused", route=route, problem=problem.kind)
        return problem.response()


def problem_of(error: Exception) -> Problem:
    """What an error that a handler raised is to whoever asked."""
    match error:
        case Problem():
            return error
        case MalformedInput():
            return Problem("malformed", f"{error.rule}: {error.detail}")
        case RuleViolation():
            kind = "unauthenticated" if error.rule == "R-72.1" else "forbidden"
            return Problem(kind, str(error))
        case WrongCode():
            return Problem("wrong-code", "ask for a new one if it is older than 15 minutes")
        case TooMany():
            return Problem("too-many", "too many codes for one address: try again in some hours")
        case NoRoom():
            detail = "too much waits for this address, or came from here: try again in days"
            return Problem("too-many", detail)
        case NotYet():
            return Problem("not-yet", "the release waits for its owner", error.due)
        case NothingHere():
            return Problem("not-found", "there is nothing of this kind, or not any more")
        case StoreError():
            return Problem("unavailable", "try again later")
        case web.HTTPException() if error.status < 500:
            return Problem(HTTP_ERRORS.get(error.status, "malformed"), error.reason)
        case _:
            return Problem("internal", "the server's log says more")
