"""From blocks to batches: planner and replay (pure), and the sequencer that performs."""
