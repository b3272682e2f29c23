"""Ranks stocks: clean prices, causal features, panel, graphs, ATFT-GAT-FAN, honest evaluation."""

from atft_pipeline.process import prepare_process

THREADS = prepare_process()
