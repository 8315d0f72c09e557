"""Mathematics over ints and bytes: the Merkle tree, its tiles, the directory, the VRF.

No I/O, no clock, no randomness. Imports nothing of the ledger but `ledger.errors`.
"""
