"""Market data: prices, cleaning, universe, features, labels."""
