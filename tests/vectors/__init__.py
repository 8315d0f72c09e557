"""The corpus in `specs/vectors`: its builders (`cases`), its generator and its test."""
