"""The server over real HTTP: bad input, faults, and a process that is killed."""
