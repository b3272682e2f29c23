"""What was active in a training."""
