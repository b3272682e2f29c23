"""Numbers as they stand in the cells of pages and tables."""

import math
from collections.abc import Mapping
from typing import Any

UNDEFINED = "–"
WHOLE = 99_999.5


def number(value: Any) -> str:
    """Write any value: five digits, all of a large number, thousands apart, yes and no, a dash for nothing."""
    if value is None:
        return UNDEFINED
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(number(item) for item in value)
    if not isinstance(value, float):
        return str(value)
    # From here on the general form has exponents.
    return f"{value:,.0f}" if WHOLE <= abs(value) < math.inf else f"{value:,.5g}"


def fixed(value: float | None, form: str) -> str:
    """Write a number in a form of :func:`format`; a dash where undefined."""
    return UNDEFINED if value is None else format(value, form)


def estimate(
    row: Mapping[str, Any] | None, scale: float = 1.0, digits: int = 4, *, sign: str = "", gap: str = " "
) -> str:
    """Write ``value ± error``, or the value with its interval where it has no error; a dash where undefined.

    Args:
        row: the estimate: ``mean``, ``rank_ic_difference`` or ``value``, with ``se`` or with ``low`` and ``high``.
        scale: what every number is multiplied by, such as 100 for per cent.
        digits: after the point.
        sign: ``+`` to write that of positive values too.
        gap: on both sides of the ±.
    """
    if row is None:
        return UNDEFINED
    value = next(row[key] for key in ("mean", "rank_ic_difference", "value") if key in row)
    if value is None:
        return UNDEFINED
    shown = f"{scale * value:{sign},.{digits}f}"
    if row.get("se") is not None:
        return f"{shown}{gap}±{gap}{scale * row['se']:,.{digits}f}"
    ends = interval(row, scale, digits)
    return shown if ends == UNDEFINED else f"{shown} [{ends}]"


def interval(row: Mapping[str, Any] | None, scale: float = 1.0, digits: int = 4) -> str:
    """Write both ends of an interval; a dash where undefined."""
    if row is None or row.get("low") is None or row.get("high") is None:
        return UNDEFINED
    return f"{scale * row['low']:,.{digits}f} to {scale * row['high']:,.{digits}f}"


def money(row: Mapping[str, Any] | None) -> str:
    """Write a sum in thousands or millions with its error; a dash where undefined."""
    if row is None or row["mean"] is None:
        return UNDEFINED
    unit, word = (1e6, "M") if row["mean"] >= 1e6 else (1e3, "k")
    return f"{estimate({'mean': row['mean'], 'se': row['se']}, 1 / unit, 1)} {word}"


def leaves(content: Any, prefix: str = "") -> dict[str, Any]:
    """Leaves of nested mappings by their dotted names; a plain value is called ``value``."""
    if not isinstance(content, Mapping):
        return {prefix or "value": content}
    found: dict[str, Any] = {}
    for name, value in content.items():
        found |= leaves(value, f"{prefix}.{name}" if prefix else str(name))
    return found
