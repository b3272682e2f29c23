"""A strategy of Lightning Fabric that starts processes and leaves the model as it is.

It lies in a file of its own because it must be importable by started processes, and because Lightning takes seconds to
import.
"""

import logging

from lightning.fabric.strategies.ddp import DDPStrategy
from torch import nn


class SummedGradients(DDPStrategy):
    """Data parallel without hooks on parameters: :meth:`distributed.ProcessGroup.sum_gradients` joins the gradients."""

    def setup_environment(self) -> None:
        """Join the other processes, without Lightning's announcements."""
        for name in ("lightning.fabric", "lightning.pytorch"):
            logging.getLogger(name).setLevel(logging.WARNING)
        super().setup_environment()

    def setup_module(self, module: nn.Module) -> nn.Module:  # type: ignore[override]
        """Leave the module alone."""
        return module
