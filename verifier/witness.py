"""What a witness answers: a table, and nothing else (C2SP tlog-witness; specs/62).

A submission is judged in two steps. `receive` needs the policy alone; `decide` the record of what
was cosigned last for the origin, and is done within the transaction that puts its answer there:

    submission = receive(body, logs)                     # or Refused
    record = decide(submission, store.last(origin), store.latest(), now)    # or Refused
    store.put(record)                                    # durable, before
    record.cosigned(cosigner)                            # the signature line for the answer

Pure: no clock, no disk. Times are in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from verifier.errors import AuditError, BadSignature, Malformed
from verifier.keyfile import Cosigner
from verifier.merkle import EMPTY_ROOT, check_consistency
from verifier.note import (
    Checkpoint,
    Note,
    NoteKey,
    Signature,
    decode_base64,
    find_signers,
    parse_head,
    parse_note,
    parse_size,
)

MAX_REQUEST = 150_000
MAX_PROOF = 63
BACKWARDS = 60  # seconds that the clock may stand before the last cosignature
TEXT = "text/plain; charset=utf-8"
SIZE = "text/x.tlog.size"


class Request(NamedTuple):
    """A request of the right form; nothing in it is verified."""

    old: int
    proof: tuple[bytes, ...]
    note: Note
    checkpoint: Checkpoint


class Submission(NamedTuple):
    """A request for a checkpoint that its log has signed, by these lines."""

    request: Request
    signatures: tuple[Signature, ...]


class Record(NamedTuple):
    """What was cosigned last for an origin: the checkpoint's text and its log's signatures."""

    origin: str
    size: int
    root: bytes
    time: int
    text: str
    signatures: str

    def cosigned(self, cosigner: Cosigner) -> str:
        """The witness's line; the same one every time."""
        return cosigner.cosign(self.text, self.time).line

    def note(self, cosigner: Cosigner) -> str:
        """The note that the witness shows others."""
        return f"{self.text}\n{self.signatures}{self.cosigned(cosigner)}"


class Refused(AuditError):
    """An answer without cosignature. `fork` is a note that the log should never have signed."""

    def __init__(self, status: int, why: str, *, fork: str | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.fork = fork


class Elsewhere(Refused):
    """409: the request begins at another size than the one cosigned last."""

    def __init__(self, size: int) -> None:
        super().__init__(409, f"the size cosigned last is {size}")
        self.size = size


def parse_request(data: bytes) -> Request:
    """R-62.10. Malformed: anything else."""
    if len(data) > MAX_REQUEST:
        raise Malformed("R-62.10", f"a request of {len(data)} bytes")
    head, gap, raw = data.partition(b"\n\n")
    try:
        first, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise Malformed("R-62.10", "a size or a proof that is not ASCII") from error
    if not gap or not first.startswith("old ") or len(lines) > MAX_PROOF:
        raise Malformed("R-62.10", "not an old size, at most 63 lines of proof and an empty line")
    old = parse_size(first.removeprefix("old "), "R-62.10")
    proof = tuple(decode_base64(line, "R-62.10") for line in lines)
    if any(len(one) != 32 for one in proof):
        raise Malformed("R-62.10", "a hash of the proof is not 32 bytes")
    note = parse_note(raw)
    if not all(note.text.split("\n")[:-1]):
        raise Malformed("R-62.10", "an empty line in the checkpoint")
    return Request(old, proof, note, parse_head(note.text))


def receive(data: bytes, logs: Sequence[NoteKey]) -> Submission:
    """R-62.10, and of R-62.11 all rows that do not ask what was cosigned last."""
    try:
        request = parse_request(data)
    except Malformed as error:
        raise Refused(400, error.why) from error
    checkpoint = request.checkpoint
    keys = [log for log in logs if log.name == checkpoint.origin]
    if not keys:
        raise Refused(404, "this witness does not know the origin")
    try:
        signers = find_signers(request.note, keys)
    except BadSignature as error:
        raise Refused(403, error.why) from error
    if request.old > checkpoint.size:
        raise Refused(400, "the old size is larger than the checkpoint's")
    ids = {(signer.key.name, signer.key.id()) for signer in signers}
    lines = (line for line in request.note.signatures if (line.name, line.key_id) in ids)
    return Submission(request, tuple(lines))


def decide(submission: Submission, last: Record | None, latest: int, now: int) -> Record:
    """The other rows of R-62.11, and R-62.13: what to put in the place of `last`.

    `latest` is the time of the newest cosignature for any origin, 0 before the first.
    """
    request, checkpoint = submission.request, submission.request.checkpoint
    size, root = (last.size, last.root) if last else (0, EMPTY_ROOT)
    if request.old != size:
        raise Elsewhere(size)
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        raise Refused(422, "the root is not that of the empty tree")
    if checkpoint.size == size and checkpoint.root != root:
        fork = f"{request.note.text}\n{_lines(submission)}"
        raise Refused(422, "another root was cosigned for this size", fork=fork)
    try:
        check_consistency(size, checkpoint.size, root, checkpoint.root, request.proof)
    except Malformed as error:
        raise Refused(422, error.why) from error
    if now < latest - BACKWARDS:
        raise Refused(503, f"the clock stands {latest - now} s before the last cosignature")
    time = max(now, latest)
    return Record(*checkpoint, time, request.note.text, _lines(submission))


def _lines(submission: Submission) -> str:
    return "".join(signature.line for signature in submission.signatures)
