"""Keyroll, a key transparency log for end-to-end encryption: the log, its server and its clients.

`specs/` holds the protocol that this package follows. `verifier` judges a log by the same specs and
shares no code with it.
"""

__version__ = "0.1.0"
