"""Training: the loop, optimisers, schedules, runtime, checkpoints, monitors."""
