"""Planner, replay and sequencer."""
