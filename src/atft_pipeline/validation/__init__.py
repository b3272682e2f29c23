"""Validation over several folds: each one trained, scored and kept on disk, then stitched into one table."""
