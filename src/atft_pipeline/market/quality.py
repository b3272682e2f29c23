from typing import Any

import polars as pl


def quality_report(
    raw: pl.DataFrame, marked: pl.DataFrame, rules: list[Any], source: Any, settings: Any
) -> dict[str, Any]:
    return {"rules": [r.as_json() for r in rules]}


def quality_page(report: dict[str, Any]) -> str:
    return ""
