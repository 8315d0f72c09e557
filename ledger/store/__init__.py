"""Where a log keeps itself: the port every engine fills, and the engines."""
