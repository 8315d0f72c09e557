"""Worked examples: applications on Keyroll, each run by one command and part of the tests."""
