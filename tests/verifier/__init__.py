"""Tests of the independent verifier, on logs that are built here by hand from `specs/`."""
