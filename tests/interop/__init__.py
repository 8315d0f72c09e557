"""Software that nobody here wrote, run for real against what this project serves and writes."""
