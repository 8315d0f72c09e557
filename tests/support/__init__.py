"""What several kinds of tests, the vectors and the benchmarks share."""
