"""The run card as a page that a person reads, with no network and no script."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1f2933; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 1.6rem 0 .4rem; }
table { border-collapse: collapse; width: 100%; } td, th { padding: .2rem .8rem .2rem 0; vertical-align: top; }
th { text-align: left; font-weight: 500; color: #52606d; width: 16rem; } tr { border-bottom: 1px solid #e4e7eb; }
.epochs td, .epochs th { text-align: right; width: auto; } .wide { overflow-x: auto; }
.bad { color: #b00020; font-weight: 600; } .good { color: #0f7b4f; }
"""
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
    """Lay a run card out: warnings first, in red, then what was active, then the epochs.

    Args:
        card: of :func:`build_run_card`.
        history: one record an epoch.
    """
    warnings = [f'<p class="bad">{escape(text)}</p>' for text in card["warnings"]]
    calm = '<p class="good">Everything that was asked for was active.</p>'
    sections = [_section(TITLES[name], card[name]) for name in TITLES if name in card]
    rest = {name: value for name, value in card.items() if name not in TITLES and name != "warnings"}
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>",
        f"<title>Run card</title><style>{STYLE}</style><h1>Run card</h1>",
        *(warnings or [calm]),
        *sections,
        _section("Other", rest),
        _epochs(history),
        "</html>",
    ]
    return "\n".join(parts)


def _section(title: str, content: Any) -> str:
    rows = [f"<tr><th>{escape(name)}</th><td>{_value(name, value)}</td></tr>" for name, value in _flat(content)]
    return f"<h2>{escape(title)}</h2><table>{''.join(rows)}</table>"


def _flat(content: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Leaves of nested mappings by their dotted names."""
    if not isinstance(content, Mapping):
        return [(prefix or "value", content)]
    found: list[tuple[str, Any]] = []
    for name, value in content.items():
        found += _flat(value, f"{prefix}.{name}" if prefix else str(name))
    return found


def _value(name: str, value: Any) -> str:
    text = escape(_number(value))
    return f'<span class="bad">{text}</span>' if name == "limited" and value else text


def _number(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.5g}" if isinstance(value, float) else str(value)


def _epochs(history: Sequence[Mapping[str, Any]]) -> str:
    names = [name for name in EPOCHS if history and name in history[0]]
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(_number(record.get(name)))}</td>" for name in names) + "</tr>"
        for record in history
    )
    return f'<h2>Epochs</h2><div class="wide"><table class="epochs"><tr>{head}</tr>{rows}</table></div>'
