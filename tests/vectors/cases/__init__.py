"""The cases, one module a subject. Each has `cases()`."""
