"""Bytes: strict CBOR, COSE blocks, keys, signed notes and checkpoints.

Every parser here takes `bytes` of any origin and gives back a typed value, or raises
`ledger.errors.MalformedInput`; nothing else. Each value has exactly one spelling. No module here
does I/O, reads a clock or draws random numbers.

| module | reads and writes |
| --- | --- |
| `cbor` | the closed, deterministic subset of RFC 8949 that payloads are made of |
| `keys` | Ed25519 and X25519 keys, and single signatures |
| `cose` | blocks and every other signed message: COSE_Sign (RFC 9052), one spelling |
| `note` | signed notes, verifier keys and cosignatures (C2SP signed-note, tlog-cosignature) |
| `checkpoint` | signed tree heads (C2SP tlog-checkpoint) |
"""
