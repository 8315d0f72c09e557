"""The recovery service by itself."""
