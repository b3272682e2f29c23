"""The data-quality page: one HTML file that needs no network."""

import html
from collections.abc import Sequence
from typing import Any

from plotly.io import to_html
from plotly.offline import get_plotlyjs

from atft_pipeline.prices.quality_report import quality_report
from atft_pipeline.reporting import quality_figures as figures

__all__ = ["quality_page", "quality_report"]

STYLE = """
:root{--ink:#1f2933;--muted:#616e7c;--line:#e4e7eb;--accent:#2563eb}
*{box-sizing:border-box}
body{margin:0;background:#f5f7fa;color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1180px;margin:0 auto;padding:32px 24px 64px}
h1{font-size:26px;margin:0 0 4px}h2{font-size:18px;margin:0 0 4px}
.sub,.note{color:var(--muted);margin:0 0 16px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(160px,1fr));gap:12px;margin:20px 0}
.card,section{background:#fff;border:1px solid var(--line);border-radius:10px}
.card{padding:14px 16px}.card b{display:block;font-size:22px;font-variant-numeric:tabular-nums}
.card span{color:var(--muted);font-size:13px}
section{padding:20px 22px;margin:16px 0;overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}
th{text-align:left;color:var(--muted);font-weight:600;border-bottom:2px solid var(--line);padding:6px 10px 6px 0}
td{border-bottom:1px solid var(--line);padding:6px 10px 6px 0;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.tag{font-size:12px;border-radius:99px;padding:1px 8px;background:#e7f6f1;color:#0b6b50;white-space:nowrap}
.tag.off{background:#eef0f3;color:#616e7c}.tag.warn{background:#fdecef;color:#a8213b}
ul{margin:8px 0 0;padding-left:20px}code{font-size:13px}
details summary{cursor:pointer;color:var(--accent)}
pre{white-space:pre-wrap;font-size:12.5px;background:#f5f7fa;padding:12px;border-radius:8px}
"""


def prepared_page(report: dict[str, Any]) -> str:
    """Compose the page of a prepared table: how full each column is, what was left out.

    Args:
        report: what :func:`atft_pipeline.prices.prepared.read_prepared` gave.
    """
    cards = "".join(
        f'<div class="card"><b>{report[name]:,}</b><span>{name}</span></div>' for name in ("rows", "codes", "sessions")
    )
    rows = [
        {"column": name, "share of values": share}
        for name, share in sorted((report["labels"] | report["coverage"]).items(), key=lambda item: item[1])
    ]
    shares = _table(rows, {"share of values": "{:.1%}"}, "Every column, emptiest first")
    left_out = html.escape(", ".join(report["left_out"]) or "nothing")
    empty = html.escape(", ".join(report["empty"]) or "none")
    body = (
        f'<h1>Data quality</h1><p class="sub"><code>{html.escape(report["source"])}</code>, a prepared table, '
        f'{report["first"]} to {report["last"]}</p><div class="cards">{cards}</div>'
        f"<section><h2>Left out</h2><p>Not numeric, prices, or excluded: {left_out}. Empty: {empty}.</p></section>"
        f"<section><h2>Coverage</h2>{shares}</section>"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Data quality</title>'
        f"<style>{STYLE}</style></head>\n<body><main>{body}</main></body></html>\n"
    )


def quality_page(report: dict[str, Any]) -> str:
    """Compose the page from the report.

    Args:
        report: what :func:`quality_report` gave.

    Returns:
        A complete HTML document with its scripts and styles inside.
    """
    if report.get("kind") == "prepared":
        return prepared_page(report)
    parts = [
        _head(report),
        _section(
            "Rows and codes a year",
            "As they came, after cleaning, and those in the universe of their day.",
            figures.rows_and_codes(report),
        ),
        _section(
            "What each rule touched", "Left in all, right for each year.", figures.touched(report), _rules(report)
        ),
        _section(
            "Coverage",
            "A listing present on fewer than all sessions between its first and last day has holes in its life.",
            figures.coverage(report),
            _table(report["coverage"]["sparsest"], {"share": "{:.1%}"}, "Sparsest listings of at least 60 sessions"),
        ),
        _section(
            "What keeps rows out of the universe",
            "Judged by that day and the days before it; a row may have several reasons.",
            figures.exclusions(report),
        ),
        _section(
            "Tails of one-day returns",
            "Share of returns of at least a size. A loss counts by the gain that undoes it, so -50 % stands at 100 %.",
            figures.tails(report),
            _table(report["returns"]["largest_in_universe"], {"move": "{:+.1%}"}, "Largest returns in the universe"),
        ),
        _section(
            "Calendar",
            "Rows of each session; gaps of more than four days and sessions that miss a part of the market are marked.",
            figures.calendar(report),
            _table(report["calendar"]["holes"], {}, "Gaps between sessions")
            + _table(report["calendar"]["thin_sessions"], {"usual": "{:.0f}"}, "Sessions with few rows"),
        ),
        _settings(report),
    ]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><title>Data quality</title>'
        f"<style>{STYLE}</style><script>{get_plotlyjs()}</script></head>\n<body><main>{body}</main></body></html>\n"
    )


def _head(report: dict[str, Any]) -> str:
    """Compose title, key figures and remarks."""
    came, left = report["input"], report["output"]
    share = left["universe_rows"] / max(left["rows"], 1)
    cards = (
        (f"{came['rows']:,}", "raw rows"),
        (f"{left['rows']:,}", "clean rows"),
        (f"{left['codes']:,}", "codes"),
        (f"{left['listings']:,}", "listing segments"),
        (f"{left['sessions']:,}", "sessions"),
        (f"{share:.1%}", "of rows in the universe"),
    )
    boxes = "".join(f'<div class="card"><b>{value}</b><span>{label}</span></div>' for value, label in cards)
    notes = [*report["reading"]["notes"], *(report["reading"]["listings"] or {"notes": []})["notes"]]
    remarks = "".join(f"<li>{html.escape(remark)}</li>" for remark in (*notes, *report["remarks"]))
    look = f"<section><h2>Worth a look</h2><ul>{remarks}</ul></section>" if remarks else ""
    place = html.escape(report["source"])
    return (
        f'<h1>Data quality</h1><p class="sub"><code>{place}</code>, {left["first"]} to {left["last"]}</p>'
        f'<div class="cards">{boxes}</div>{look}'
    )


def _section(title: str, note: str, figure: Any, after: str = "") -> str:
    """Compose one section with a figure."""
    plot = to_html(figure, include_plotlyjs=False, full_html=False, config={"displaylogo": False, "responsive": True})
    return f'<section><h2>{title}</h2><p class="note">{note}</p>{plot}{after}</section>'


def _rules(report: dict[str, Any]) -> str:
    """Compose the table of the rules."""
    lines = []
    for rule in report["rules"]:
        state = '<span class="tag">on</span>' if rule["enabled"] else '<span class="tag off">off</span>'
        if not rule["causal"]:
            state += ' <span class="tag warn">needs later days</span>'
        seen = html.escape(", ".join(rule["examples"][:3]))
        lines.append(
            f"<tr><td><code>{rule['rule']}</code></td><td>{state}</td><td>{html.escape(rule['does'])}</td>"
            f'<td class="n">{rule["rows"]:,}</td><td class="n">{rule["codes"]:,}</td><td>{seen}</td></tr>'
        )
    head = '<th>Rule</th><th></th><th>What it does</th><th class="n">Rows</th><th class="n">Codes</th><th>Examples</th>'
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _table(rows: Sequence[dict[str, Any]], formats: dict[str, str], title: str) -> str:
    """Compose a folded table, or nothing where there are no rows."""
    if not rows:
        return ""
    names = list(rows[0])
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(row[name], formats.get(name))}</td>" for name in names) + "</tr>" for row in rows
    )
    return (
        f"<details><summary>{html.escape(title)}</summary>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></details>"
    )


def _cell(value: Any, form: str | None) -> str:
    """Write one value."""
    if form is not None and isinstance(value, int | float):
        return form.format(value)
    return html.escape("" if value is None else str(value))


def _settings(report: dict[str, Any]) -> str:
    """Compose the parameters that made this report."""
    lines = [
        f"{group}.{name}: {value}" if name else f"{group}: {value}"
        for group, values in report["settings"].items()
        for name, value in (values if isinstance(values, dict) else {"": values}).items()
    ]
    listed = html.escape("\n".join(lines))
    return f"<section><h2>Parameters</h2><details><summary>All values</summary><pre>{listed}</pre></details></section>"
