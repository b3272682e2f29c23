"""The window normaliser that a configuration names. Legend: S samples, L steps, F features, H width."""

from torch import Tensor, nn

from atft_pipeline.model.config import NormaliserConfig
from atft_pipeline.model.fan import FAN
from atft_pipeline.model.moments import Normalised
from atft_pipeline.model.multi_window import MultiWindow
from atft_pipeline.model.san import SAN

# A trading week: the shortest slice whose moments mean something, and twelve of them in the longest usual window.
SLICE_LENGTH = 5
# A week, two weeks and a month of sessions.
WINDOWS = (5, 10, 20)


class NoNormaliser(nn.Module):
    """Pass the window on as it is."""

    def forward(self, x_SLF: Tensor, step_mask_SL: Tensor) -> Normalised:  # noqa: ARG002
        """Return the window itself."""
        return Normalised(x_SLF, None)


def build_normaliser(config: NormaliserConfig, features: int, window: int, width: int) -> nn.Module:
    """Build a normaliser: x [S, L, F], step_mask [S, L] -> :class:`Normalised`.

    Args:
        config: which one, and its parameters.
        features: F.
        window: L.
        width: H of the summary.
    """
    match config.kind:
        case "fan":
            return FAN(features, window, width, config.top_k, config.patterns)
        case "san":
            return SAN(features, window, width, SLICE_LENGTH, config.patterns)
        case "multi_window":
            return MultiWindow(features, window, width, WINDOWS)
        case "none":
            return NoNormaliser()
