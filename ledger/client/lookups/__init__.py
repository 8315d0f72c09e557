"""A log as a client follows it that asks for the chains that count, and proves each answer."""
