"""Kedro datasets: how an artifact lies on disk, atomically and versioned."""
