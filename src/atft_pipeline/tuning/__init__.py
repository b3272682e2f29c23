"""Hyper-parameter search: search space, trials, study, and what the search says of itself."""
