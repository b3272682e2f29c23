"""The run card as a page: warnings first, then what was active, then the epochs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from atft_pipeline.reporting.cells import estimate
from atft_pipeline.reporting.page import render

NO_KERNEL = "none: an encoder of one layer attends from the last step alone, which needs no attention kernel"


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
    if card.get("probe", {}).get("attention_kernel") == "none":
        sections["attention"] = {**card["attention"], "active": NO_KERNEL}
        sections["probe"] = {**card["probe"], "attention_kernel": NO_KERNEL}
    if "result" in card:
        # The result of an ensemble's card is that of its first model.
        own = [record for record in history if record.get("seed", card.get("seed")) == card.get("seed")]
        sections["result"] = _result(card["result"], own)
    if "ensemble" in card:
        sections["ensemble"] = {f"seed {model['seed']}": _member(model, history) for model in card["ensemble"]}
    total = max(sum(blocks.values()), 1)
    shares = [{"block": name, "parameters": count, "share of all": count / total} for name, count in blocks.items()]
    epochs = [_with_errors(record) for record in history]
    ranked = [name for name in (epochs[0] if epochs else ()) if name.startswith("val_rank_ic")]
    return render(
        "run_card", warnings=card["warnings"], sections=sections, blocks=shares, history=epochs, ranked=ranked
    )


def _result(result: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What was reached, each validation RankIC with its error and each checkpoint that was kept with its epoch."""
    records = {record["epoch"]: record for record in history}
    kept = [
        f"epoch {epoch}: {_rank_ic(records.get(epoch, {}), 'val_rank_ic', value)}" for epoch, value in result["kept"]
    ]
    best = _with_errors(records.get(result["best_epoch"], {}))
    found = {name: value for name, value in result.items() if name not in ("val_rank_ic", "kept", "checkpoint")}
    shown = {name: value for name, value in best.items() if name.startswith("val_rank_ic")}
    return {
        **found,
        **(shown or {"val_rank_ic": _rank_ic({}, "val_rank_ic", result["val_rank_ic"])}),
        "checkpoints kept, by validation RankIC": kept,
        "checkpoint": result["checkpoint"],
    }


def _member(model: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> str:
    """What one model of an ensemble reached."""
    own = {record["epoch"]: record for record in history if record["seed"] == model["seed"]}
    reached = _rank_ic(own.get(model["best_epoch"], {}), "val_rank_ic", model["val_rank_ic"])
    return f"epoch {model['best_epoch']} of {model['epochs']}: {reached}"


def _with_errors(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record whose validation RankICs bear their errors, that of each horizon beside their mean."""
    errors = {name for name in record if name.startswith("val_rank_ic") and name.endswith("_se")}
    return {
        name: _rank_ic(record, name, value) if name.startswith("val_rank_ic") else value
        for name, value in record.items()
        if name not in errors
    }


def _rank_ic(record: Mapping[str, Any], name: str, value: float) -> str:
    """The value with the error that the record has of it; a dash where undefined."""
    known = {"mean": value, "se": record.get(f"{name}_se")}
    return estimate(
        {key: number if number is not None and math.isfinite(number) else None for key, number in known.items()}
    )
