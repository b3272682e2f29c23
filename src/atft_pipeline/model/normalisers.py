"""The window normaliser that a configuration names."""

from torch import nn

from atft_pipeline.model.config import NormaliserConfig
from atft_pipeline.model.fan import FAN
from atft_pipeline.model.normaliser import NoNormaliser
from atft_pipeline.model.scale import SAN, MultiWindow, RevIN


def build_normaliser(config: NormaliserConfig, features: int, window: int, width: int) -> nn.Module:
    """Build a normaliser: x [S, L, F], step_mask [S, L] -> :class:`Normalised`.

    Args:
        config: which one, and its parameters.
        features: F.
        window: L.
        width: H of the summary.
    """
    if config.kind == "fan":
        return FAN(features, window, width, config.top_k, config.patterns)
    if config.kind == "san":
        return SAN(features, window, width, config.slice_length, config.patterns, config.variance_floor)
    if config.kind == "multi_window":
        return MultiWindow(features, window, width, config.windows, config.variance_floor)
    if config.kind == "revin":
        return RevIN(features, window, width, config.variance_floor)
    return NoNormaliser()
