"""The independent verifier: replays a whole log and judges it by `specs/` alone.

It imports nothing from `ledger`, and `ledger` nothing from here: one mistake must not blind both.
"""
