"""Routes and handlers of 70-http.

    GET  /checkpoint, /tile/…                              the tree, as any tlog client reads it
    GET  /v1/log, /v1/chains/<label>, /v1/proofs/…         facts, chains, proofs
    GET  /v1/receipts/<index>                              proofs as COSE Receipts
    POST /v1/blocks                                        blocks in
    POST /v1/labels, /v1/boxes, /v1/statements, /v1/audit  for somebody in particular
    POST /v1/boxes/group                                   what a group's newest blocks hold for one
    POST /v1/lookup                                        what stands for whom, proven
    POST /v1/leaves, /v1/grants                            what members say
    POST /v1/sessions, /v1/sessions/open                   who may read what was sealed
    POST /v1/pending, /v1/pending/open                     what waits for people to come
    GET  /v1/candidate, /v1/covered                        checkpoints for and by auditors
    POST /v1/cosignatures                                  what auditors say
    GET  /health, /metrics                                 for operators

>>> app = make_app(service)                # doctest: +SKIP
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from aiohttp import web

from ledger.errors import MalformedInput
from ledger.format import wire
from ledger.format.bodies import MAX_SEQ
from ledger.format.group_boxes import GROUP_BOXES_PATH
from ledger.format.lookup import LOOKUP_PATH
from ledger.format.pending import LEAVE_PATH, WAITING_PATH
from ledger.format.receipt import MEDIA_TYPE as RECEIPT
from ledger.format.sessions import OPEN_PATH, SHARE_PATH
from ledger.rates import peer
from ledger.server import pending, private, proofs, sessions, tiles
from ledger.server import statements as group_statements
from ledger.server.coverage import Coverage
from ledger.server.lookups import Lookups
from ledger.server.problems import DEBUG, METRICS, Problem, guard
from ledger.server.rates import Rate
from ledger.server.service import SERVICE, Service, facts
from ledger.server.submit import prover, submit
from ledger.store.port import Reader
from ledger.tree.merkle import MAX_SIZE, consistency_proof, inclusion_proof
from ledger.tree.tiles import node_reader

CBOR = "application/cbor"
NOTE = "text/plain"
COSIGNATURES_PATH = "/v1/cosignatures"

_LABEL = re.compile(r"[0-9a-f]{64}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")

T = TypeVar("T")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(service: Service) -> web.Application:
    """The application that serves one log."""
    app = web.Application(middlewares=[guard], client_max_size=wire.MAX_REQUEST_BYTES)
    app[SERVICE] = service
    app[METRICS] = service.metrics
    app[DEBUG] = service.config.logging.level == "debug"
    rates = service.config.rates
    app.add_routes(
        [
            web.get("/checkpoint", tiles.checkpoint),
            web.get("/tile/{path:.*}", tiles.tile),
            web.get("/v1/log", log_info),
            web.get("/v1/chains/{label}", chain),
            web.get("/v1/proofs/inclusion", inclusion),
            web.get("/v1/proofs/consistency", consistency),
            web.get("/v1/proofs/tlog", tlog_proof),
            web.get("/v1/receipts/{index}", receipt),
            web.post(wire.BLOCKS_PATH, blocks),
            web.post(wire.LABELS_PATH, limited(rates.labels, service, labels)),
            web.post(wire.BOXES_PATH, limited(rates.boxes, service, boxes)),
            web.post(GROUP_BOXES_PATH, limited(rates.boxes, service, group_boxes)),
            web.post(wire.STATEMENTS_PATH, limited(rates.statements, service, statements)),
            web.post(wire.AUDIT_PATH, audit),  # few ask, and for all there is
            web.post(LOOKUP_PATH, limited(rates.lookups, service, lookup(Lookups(service)))),
            web.post(wire.LEAVES_PATH, limited(rates.leaves, service, leaves)),
            web.post(wire.GRANTS_PATH, limited(rates.leaves, service, grants)),
            web.post(SHARE_PATH, limited(rates.sessions, service, share)),
            web.post(OPEN_PATH, limited(rates.sessions, service, open_session)),
            web.post(LEAVE_PATH, limited(rates.sessions, service, leave_half)),
            web.post(WAITING_PATH, limited(rates.sessions, service, waiting)),
            web.get("/v1/candidate", candidate),
            web.get("/v1/covered", covered),
            web.post(COSIGNATURES_PATH, cosignatures),
            web.get("/health", health),
            web.get("/metrics", metrics),
        ]
    )
    return app


async def blocks(request: web.Request) -> web.Response:
    """POST /v1/blocks."""
    asked = wire.SubmitRequest.decode(await read_body(request))
    answer = await submit(request.app[SERVICE], asked.submissions)
    return cbor(answer.encode())


async def labels(request: web.Request) -> web.Response:
    """POST /v1/labels."""
    answer = await private.label(request.app[SERVICE], await read_body(request))
    return cbor(answer.encode())


async def boxes(request: web.Request) -> web.Response:
    """POST /v1/boxes."""
    answer = private.box(request.app[SERVICE], await read_body(request))
    return cbor(answer.encode())


async def group_boxes(request: web.Request) -> web.Response:
    """POST /v1/boxes/group."""
    return cbor((await _aside(private.group_boxes, request)).encode())


async def statements(request: web.Request) -> web.Response:
    """POST /v1/statements."""
    return cbor((await _aside(group_statements.statements, request)).encode())


async def audit(request: web.Request) -> web.Response:
    """POST /v1/audit."""
    return cbor((await _aside(group_statements.audit, request)).encode())


def lookup(lookups: Lookups) -> Handler:
    """POST /v1/lookup."""

    async def answer(request: web.Request) -> web.Response:
        return cbor(await lookups.answer(await read_body(request)))

    return answer


async def leaves(request: web.Request) -> web.Response:
    """POST /v1/leaves."""
    await _aside(group_statements.leave, request)
    return web.Response(status=204)


async def grants(request: web.Request) -> web.Response:
    """POST /v1/grants."""
    await _aside(group_statements.grant, request)
    return web.Response(status=204)


async def share(request: web.Request) -> web.Response:
    """POST /v1/sessions."""
    await _aside(sessions.share, request)
    return web.Response(status=204)


async def open_session(request: web.Request) -> web.Response:
    """POST /v1/sessions/open."""
    return cbor((await _aside(sessions.opened, request)).encode())


async def leave_half(request: web.Request) -> web.Response:
    """POST /v1/pending."""
    await _aside(pending.leave, request)
    return web.Response(status=204)


async def waiting(request: web.Request) -> web.Response:
    """POST /v1/pending/open."""
    return cbor((await _aside(pending.waiting, request)).encode())


async def candidate(request: web.Request) -> web.Response:
    """GET /v1/candidate."""
    return tiles.note(await asyncio.to_thread(coverage_of(request).candidate))


async def covered(request: web.Request) -> web.Response:
    """GET /v1/covered."""
    found = await asyncio.to_thread(coverage_of(request).covered)
    if found is None:
        raise Problem("not-found", "auditors have cosigned nothing yet")
    return tiles.note(found)


async def cosignatures(request: web.Request) -> web.Response:
    """POST /v1/cosignatures."""
    coverage = coverage_of(request)
    await asyncio.to_thread(coverage.take, await read_body(request, NOTE))
    return web.Response(status=204)


def coverage_of(request: web.Request) -> Coverage:
    """What this log's auditors cosign, if it has any."""
    coverage = request.app[SERVICE].coverage
    if coverage is None:
        raise Problem("not-found", "this log has no auditors")
    return coverage


async def _aside(answer: Callable[[Service, bytes], T], request: web.Request) -> T:
    """Answer in a thread: it takes many reads, or waits for the disk."""
    body = await read_body(request)
    return await asyncio.to_thread(answer, request.app[SERVICE], body)


async def log_info(request: web.Request) -> web.Response:
    """GET /v1/log: what the log says of itself, for people; its first block is what counts."""
    service = request.app[SERVICE]
    with service.store.reader() as reader:
        document = facts(reader)
    if service.coverage:
        auditors = service.coverage.terms.policy.verifiers
        document["auditors"] = [auditor.vkey for auditor in auditors]
    if service.witnesses:
        document["witnesses"] = [one.verifier.vkey for one in service.witnesses.everyone]
    document["caps"] = {
        "max_request_bytes": wire.MAX_REQUEST_BYTES,
        "max_submissions": wire.MAX_SUBMISSIONS,
        "max_chain_blocks": wire.MAX_CHAIN_BLOCKS,
    }
    return web.json_response(document, headers={"Cache-Control": "no-cache"})


async def chain(request: web.Request) -> web.Response:
    """GET /v1/chains/<label>?from=<seq>."""
    spelling = request.match_info["label"]
    if not _LABEL.fullmatch(spelling):
        raise MalformedInput("R-10.4", "a label is 64 digits of lowercase hex")
    start = number(request, "from", MAX_SEQ, default=0)
    # Proofs for many places take a while: not in the event loop.
    label = bytes.fromhex(spelling)
    answer = await asyncio.to_thread(chain_answer, request.app[SERVICE], label, start)
    return cbor(answer.encode())


def chain_answer(service: Service, label: bytes, start: int) -> wire.ChainAnswer:
    """The chain's blocks from `start` on, as many as one answer takes."""
    with service.store.reader() as reader:
        found = reader.chain(label)
        if found is None:
            raise Problem("no-chain", f"the label {label.hex()} has no chain")
        indices = reader.blocks_of(label, start, wire.MAX_CHAIN_BLOCKS)
        prove = prover(reader)
        taken = tuple(
            wire.ChainBlock(index, data, tuple(prove(index)))
            for index, data in _within_cap(reader, indices)
        )
        return wire.ChainAnswer(reader.note, found.length, taken)


def _within_cap(reader: Reader, indices: list[int]) -> Iterator[tuple[int, bytes]]:
    total = 0
    for index in indices:
        (data,) = reader.entries(index, index + 1)
        total += len(data)
        if total > wire.MAX_CHAIN_BYTES and index != indices[0]:
            return
        yield index, data


async def inclusion(request: web.Request) -> web.Response:
    """GET /v1/proofs/inclusion?index=<i>&size=<n>."""
    index, size = number(request, "index", MAX_SIZE), number(request, "size", MAX_SIZE)
    with request.app[SERVICE].store.reader() as reader:
        if not index < size <= reader.head.size:
            raise MalformedInput("R-20.3", f"not index < size <= {reader.head.size}")
        read = node_reader(reader.head.size, reader.tile)
        return cbor(wire.encode_proof(inclusion_proof(index, size, read)))


async def consistency(request: web.Request) -> web.Response:
    """GET /v1/proofs/consistency?old=<m>&new=<n>."""
    old, new = number(request, "old", MAX_SIZE), number(request, "new", MAX_SIZE)
    with request.app[SERVICE].store.reader() as reader:
        if not old <= new <= reader.head.size:
            raise MalformedInput("R-20.4", f"not old <= new <= {reader.head.size}")
        read = node_reader(reader.head.size, reader.tile)
        return cbor(wire.encode_proof(consistency_proof(old, new, read)))


async def tlog_proof(request: web.Request) -> web.Response:
    """GET /v1/proofs/tlog?index=<i>."""
    index = number(request, "index", MAX_SIZE)
    with request.app[SERVICE].store.reader() as reader:
        body = proofs.tlog_proof(reader, index)
    headers = {"Cache-Control": "no-cache"}
    return web.Response(body=body, content_type="text/plain", charset="utf-8", headers=headers)


async def receipt(request: web.Request) -> web.Response:
    """GET /v1/receipts/<i>. A log that is dead signs nothing more (R-68.6)."""
    service, index = request.app[SERVICE], decimal(request.match_info["index"], "index", MAX_SIZE)
    if service.sequencer.dead:
        raise service.sequencer.dead
    with service.store.reader() as reader:
        body = proofs.receipt(reader, index, service.log_key)
    headers = {"Cache-Control": "no-cache", "Content-Type": RECEIPT}
    return web.Response(body=body, headers=headers)


async def health(request: web.Request) -> web.Response:
    """GET /health: 200 only if all is well."""
    service = request.app[SERVICE]
    status, size, age = service.health()
    document: dict[str, object] = {"status": status, "size": size, "age_ms": age}
    if service.witnesses:
        document["witnesses"] = service.witnesses.told()
    code = 200 if status == "ok" else 503
    return web.json_response(document, status=code, headers={"Cache-Control": "no-store"})


async def metrics(request: web.Request) -> web.Response:
    """GET /metrics."""
    body = request.app[SERVICE].metrics.render()
    return web.Response(body=body, content_type="text/plain", charset="utf-8")


def limited(often: str, service: Service, handler: Handler) -> Handler:
    """`handler`, for each peer at most so often."""
    rate = Rate(often, "peer")

    async def within_rate(request: web.Request) -> web.StreamResponse:
        rate.take(peer(request, service.config.server.forwarded))
        return await handler(request)

    return within_rate


async def read_body(request: web.Request, media_type: str = CBOR) -> bytes:
    """The body of a request, if it is of its type, short enough and comes in time (R-70.2)."""
    if request.content_type != media_type or request.charset not in (None, "utf-8"):
        raise Problem("media-type", f"the body is to be {media_type}", rule="R-70.2")
    if "Content-Encoding" in request.headers:
        raise Problem("media-type", "bodies are not compressed", rule="R-70.2")
    if request.content.is_eof():
        return await request.read()
    try:
        async with asyncio.timeout(request.app[SERVICE].config.server.body_timeout):
            return await request.read()
    except TimeoutError:
        raise Problem("timeout", "the body did not come in time") from None


def number(request: web.Request, name: str, maximum: int, default: int | None = None) -> int:
    """A decimal number in the query, spelled without signs or leading zeros."""
    spellings = request.query.getall(name, [])
    if not spellings and default is not None:
        return default
    if len(spellings) != 1:
        raise MalformedInput("R-10.4", f"{name} is one decimal number")
    return decimal(spellings[0], name, maximum)


def decimal(spelling: str, name: str, maximum: int) -> int:
    """A decimal number, spelled without signs or leading zeros."""
    if not _NUMBER.fullmatch(spelling):
        raise MalformedInput("R-10.4", f"{name} is one decimal number")
    if int(spelling) > maximum:
        raise MalformedInput("R-10.4", f"{name} is beyond {maximum}")
    return int(spelling)


def cbor(body: bytes) -> web.Response:
    """A CBOR answer."""
    return web.Response(body=body, content_type=CBOR, headers={"Cache-Control": "no-store"})
