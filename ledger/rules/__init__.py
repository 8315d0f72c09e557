"""The state machine: (log state, chain state, block, place) -> outcome (50-rules).

`table` holds every transition; `state` what a chain resolves to. No I/O, clock or randomness.
"""
