"""Scores of the library as tables, for the nodes."""

from atft_pipeline.validation.scoring import score_frame

__all__ = ["score_frame"]
