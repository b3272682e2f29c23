"""Which days train, validate and test."""
