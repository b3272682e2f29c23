"""Daily prices: read, cleaned, the universe of each day, and a report on their quality."""
