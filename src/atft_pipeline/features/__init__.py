"""Causal features and labels, normalised by day."""
