"""The rules as properties: random operations, random mutations, two implementations."""
