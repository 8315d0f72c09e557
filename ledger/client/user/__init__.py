"""A person and their devices: keys, the blocks they write, ways to a further device and back in."""
