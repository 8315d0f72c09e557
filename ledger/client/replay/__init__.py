"""A log as a client follows it that replays all of it, into one SQLite file."""
