"""What a client that was lied to can show to others (80-evidence)."""
