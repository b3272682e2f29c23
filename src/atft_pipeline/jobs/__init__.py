"""Job files that train on several machines."""
