"""Ranks stocks: clean prices, causal features, panel, graphs, ATFT-GAT-FAN, honest evaluation."""

from atft_pipeline.process import prepare_process

__version__ = "0.1.0"

THREADS = prepare_process()
