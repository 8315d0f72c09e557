"""The client: follows a log, verifies everything itself, and writes its users' blocks.

| module | does |
| --- | --- |
| `session` | one log, followed: sync, submit, questions that need a login |
| `verify`, `history`, `keyring` | what to believe of a log, of a chain, of a box (pure) |
| `light_session`, `light_groups` | one log, not followed: lookups of people and of groups |
| `light`, `light_chain`, `pins`, `tidings` | what to believe of an answer, what it tells (pure) |
| `policy` | whose cosignatures are asked for beside the log's signature (pure) |
| `evidence`, `light_evidence`, `full_evidence`, `charge` | what proves a lie to others |
| `inquiry`, `replica_tree`, `roots` | what evidence is made of: proofs asked for, had, kept |
| `gossip` | whether two checkpoints are of one history |
| `trust` | what lookups brought, and what they are held to, in one SQLite file |
| `replica` | the log, replayed, in one SQLite file |
| `transport` | the port to a server, and its HTTP side |
| `user`, `writer`, `compose` | a person: their acts, getting blocks in, writing them |
| `group`, `archive`, `group_keys` | a group: acts, what its statements say, its keys |
| `groups`, `compose_groups` | what statements resolve to (pure), writing a group's blocks |
| `handover` | adding a device on another machine |
| `account`, `contacts`, `home` | what is kept on disk: keys, pins, the directory of both |
"""
