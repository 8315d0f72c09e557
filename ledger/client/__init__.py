"""The client: follows a log, verifies everything itself, and writes its users' blocks.

| here | is |
| --- | --- |
| `sdk`, `documents`, `readers` | what an application calls: a place, what is sealed and for whom |
| `lookups/` | a log asked for the chains that count: `LightLog`, `LookupLog`, pins, `trust.db` |
| `replay/` | a log replayed whole: `Log`, `Replica` |
| `user/` | a person: devices, keys, blocks on their way in, ways back in |
| `group/` | a group: what its statements resolve to, its keys, its admins' acts |
| `evidence/` | what proves a lie to others; comparing checkpoints |
| `verify`, `history`, `policy` | what to believe of a log, a chain, a checkpoint's signers (pure) |
| `kept`, `doubts`, `ties` | sessions for when no server answers; files lost, or an older copy |
| `asking`, `known` | what both ways of following a log have in common, for users and groups |
| `transport`, `home`, `text` | the port to a server, a person's directory, text from outside |
"""
