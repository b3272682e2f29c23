"""Parameters of the tree baseline."""

from atft_pipeline.config import config, require, within


@config
class LightGBMConfig:
    """How the trees are grown; every pair of ``learning_rates`` and ``leaves`` is tried.

    Attributes:
        enabled: fit it at all.
        learning_rates: step of each tree.
        leaves: of a tree.
        rounds: most trees.
    """

    enabled: bool = True
    learning_rates: tuple[float, ...] = within((0.05,), 1e-05, 1)
    leaves: tuple[int, ...] = within((4, 15), 2, 4096)
    rounds: int = within(300, 1, 100_000)

    def __post_init__(self) -> None:
        for name in ("leaves", "learning_rates"):
            require(bool(getattr(self, name)), f"{name}: must hold at least one number, got []")
