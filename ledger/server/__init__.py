"""The log over HTTP (70-http): decode, call, encode. No rules here.

| module | does |
| --- | --- |
| `config` | config.toml, read strictly |
| `runtime` | opens a log's directory and runs all that serves it, until it is stopped |
| `service` | what the handlers share: stores, sequencer, the log's own facts |
| `app` | routes and handlers |
| `submit`, `private`, `tiles` | blocks in, boxes and labels out, the tree as files |
| `lookups` | what stands for identifiers and labels, proven |
| `policies` | whose cosignatures are gathered, and how many suffice |
| `witnesses`, `witness` | asked before anything is published: a round of all, and one |
| `contradiction` | what a log does that meets a checkpoint of its own which it does not hold |
| `coverage` | what auditors cosign, and lookups under it |
| `problems` | errors as problem documents, and the guard around every handler |
| `metrics` | what Prometheus reads |
"""
