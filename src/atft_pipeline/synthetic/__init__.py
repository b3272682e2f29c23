"""A synthetic market with a known signal."""
