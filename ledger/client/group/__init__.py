"""Groups: what their statements resolve to, their keys, and what their admins do."""
