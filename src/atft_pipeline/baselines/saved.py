"""Fitted baselines as plain JSON: what predicts with them later needs no pickle and no second fit.

The trees are LightGBM's own text, the line its coefficients; both read back to the last bit.
"""

from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np

from atft_pipeline.baselines.frames import Baselines
from atft_pipeline.baselines.lightgbm import TreeModel
from atft_pipeline.baselines.ridge import LinearModel
from atft_pipeline.errors import ArtifactError
from atft_pipeline.panel.panel import Panel
from atft_pipeline.splits.split import Split
from atft_pipeline.training.checkpoint.origin import Span, spans

AGAIN = "fit them again with: kedro run --pipeline=evaluate"


@dataclass(frozen=True)
class FittedBaselines:
    """Baselines and what they were fitted on.

    Attributes:
        baselines: ridge, LightGBM and the name of the best of all by horizon.
        features: of the panel, in its order.
        horizons: sessions ahead of each score.
        panel: fingerprint of the panel.
        train: days of the fit, as spans.
    """

    baselines: Baselines
    features: tuple[str, ...]
    horizons: tuple[int, ...]
    panel: str
    train: tuple[Span, ...]


def to_document(baselines: Baselines, panel: Panel, split: Split) -> dict[str, Any]:
    """Write fitted baselines down as plain JSON types.

    Args:
        baselines: of :func:`~atft_pipeline.baselines.frames.fit_baselines`.
        panel: that they were fitted on.
        split: whose training days they were fitted on.
    """
    ridge, trees = baselines.ridge, baselines.trees
    return {
        "panel": panel.meta.fingerprint,
        "train": [list(span) for span in spans(panel, split.train)],
        "features": list(panel.meta.feature_names),
        "horizons": list(panel.meta.horizons),
        "ridge": {name: getattr(ridge, name).tolist() for name in ("coefficients", "intercept", "alpha")},
        "lightgbm": None if trees is None else [[tree.model_to_string() for tree in of] for of in trees.forests],
        "benchmark": baselines.card["benchmark"],
    }


def from_document(document: dict[str, Any]) -> FittedBaselines:
    """Read what :func:`to_document` wrote.

    Raises:
        ArtifactError: it is damaged.
    """
    try:
        ridge = LinearModel(**{name: np.array(value, dtype=np.float64) for name, value in document["ridge"].items()})
        texts = document["lightgbm"]
        forests = [tuple(lgb.Booster(model_str=text) for text in of) for of in texts or ()]
        trees = None if texts is None else TreeModel(tuple(forests), {})
        return FittedBaselines(
            Baselines(ridge, trees, {"benchmark": document["benchmark"]}),
            tuple(document["features"]),
            tuple(document["horizons"]),
            document["panel"],
            tuple((first, last) for first, last in document["train"]),
        )
    except (LookupError, TypeError, ValueError, AttributeError, lgb.basic.LightGBMError) as error:
        msg = f"the fitted baselines are damaged ({type(error).__name__}); {AGAIN}"
        raise ArtifactError(msg) from error
