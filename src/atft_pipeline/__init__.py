"""Ranks stocks: clean prices, causal features, panel, graphs, ATFT-GAT-FAN, honest evaluation."""

from atft_pipeline.threads import limit_threads

__version__ = "0.1.0"

THREADS = limit_threads()
