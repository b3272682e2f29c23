"""The panel: memory-mapped features and labels, day batches, splits."""
