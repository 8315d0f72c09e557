"""The recovery service (96-recovery), a process of its own.

It is run by neither the application nor the log's operator. It keeps records that it can't open,
gives one out to whoever reads its owner's mail, after the delay that the owner chose, and tells the
owner's devices of it. Of the log it knows nothing.

| module | what |
| --- | --- |
| `config` | how one service runs: `config.toml` |
| `attempts` | its file on disk; codes and their limits |
| `records` | locked keys, their releases and delays |
| `halves` | what waits for people who are not registered yet |
| `mail` | the mails it sends |
| `web`, `problems` | HTTP |
| `runtime` | its directory, its process |
"""
