"""Causal cleaning of daily prices."""
