"""The log over HTTP, in this process and in its own."""
