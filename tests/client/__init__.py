"""The client, against lies told in memory and against the real server."""
