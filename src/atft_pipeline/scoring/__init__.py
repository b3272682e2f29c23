"""Scores of trained models as arrays and tables."""
