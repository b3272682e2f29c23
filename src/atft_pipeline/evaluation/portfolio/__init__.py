"""Portfolios that trade on scores."""
