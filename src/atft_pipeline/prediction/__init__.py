"""Scores of the newest days, and the refusal of inputs that are stale or do not belong together."""
