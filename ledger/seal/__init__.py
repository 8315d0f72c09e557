"""Secrets that travel beside the log: boxes (55-boxes)."""
