"""The run card as a page: warnings first, then what was active, then the epochs."""

from collections.abc import Mapping, Sequence
from typing import Any

from atft_pipeline.reporting.page import render

TITLES = {
    "result": "Result",
    "device": "Device",
    "precision": "Precision",
    "compile": "Compilation",
    "attention": "Attention kernel",
    "optimizer": "Optimiser",
    "ema": "Averaged weights",
    "panel": "Panel",
    "data": "Data",
    "time": "Time",
    "model": "Model",
    "probe": "What a look at the trained model found",
    "loss_terms": "Loss terms that contributed",
}
EPOCHS = (
    "epoch",
    "phase",
    "loss",
    "val_rank_ic",
    "lr",
    "gradient_norm",
    "score_spread",
    "samples_per_second",
    "seconds",
)


def card_page(card: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> str:
    """Compose the page.

    Args:
        card: of :func:`~atft_pipeline.training.run_card.card.build_run_card`.
        history: one record an epoch.
    """
    model = dict(card.get("model", {}))
    blocks = model.pop("blocks", {})
    groups = {title: model if name == "model" else card[name] for name, title in TITLES.items() if name in card}
    rest = {name: value for name, value in card.items() if name not in TITLES and name != "warnings"}
    return render(
        "run_card",
        warnings=card["warnings"],
        groups=groups | ({"Other": rest} if rest else {}),
        blocks=[
            {"block": name, "parameters": count, "share of all": count / max(sum(blocks.values()), 1)}
            for name, count in blocks.items()
        ],
        columns=[name for name in EPOCHS if history and name in history[0]],
        history=history,
    )
