"""The run card as a page: warnings first, then what was active, then the epochs."""

from collections.abc import Mapping, Sequence
from typing import Any

from atft_pipeline.reporting.page import render


def card_page(card: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> str:
    """Compose the page.

    Args:
        card: of :func:`~atft_pipeline.training.run_card.card.build_run_card`.
        history: one record an epoch.
    """
    sections = {name: value for name, value in card.items() if name != "warnings"}
    blocks = card.get("model", {}).get("blocks", {})
    if blocks:
        # They have a table of their own.
        sections["model"] = {name: value for name, value in card["model"].items() if name != "blocks"}
    total = max(sum(blocks.values()), 1)
    shares = [{"block": name, "parameters": count, "share of all": count / total} for name, count in blocks.items()]
    return render("run_card", warnings=card["warnings"], sections=sections, blocks=shares, history=history)
