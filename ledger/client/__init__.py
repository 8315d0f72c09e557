"""The client: follows a log, verifies everything itself, and writes its users' blocks."""
