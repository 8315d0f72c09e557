"""The client: follows a log, verifies everything itself, and writes its users' blocks.

| module | does |
| --- | --- |
| `session` | one log, followed: sync, submit, questions that need a login |
| `verify`, `history`, `keyring` | what to believe of a log, of a chain, of a box (pure) |
| `replica` | the log, replayed, in one SQLite file |
| `transport` | the port to a server, and its HTTP side |
| `user`, `writer`, `compose` | a person: their acts, getting blocks in, writing them |
| `handover` | adding a device on another machine |
| `account`, `contacts`, `home` | what is kept on disk: keys, pins, the directory of both |
"""
