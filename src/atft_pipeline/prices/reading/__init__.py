"""Reading daily prices from the files that users have."""
