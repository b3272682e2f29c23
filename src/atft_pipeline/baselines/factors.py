"""Simple factors that need no fitting: a feature of the panel and the sign with which it is expected to rise."""

MOMENTUM = "MOM252"

FACTORS = {"reversal_1d": ("RET1", -1.0), "reversal_5d": ("RET5", -1.0), "momentum": (MOMENTUM, 1.0)}
"""Feature and sign of each factor by its name."""
