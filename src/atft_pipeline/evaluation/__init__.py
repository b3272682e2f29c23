"""Evaluation: metrics, significance, baselines, report."""
