"""Device, precision, processes and measurements of a training."""
