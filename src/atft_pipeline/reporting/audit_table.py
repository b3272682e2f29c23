"""The audit as text for a terminal."""

from typing import Any

from atft_pipeline.audit.finding import PARTS
from atft_pipeline.reporting.console import table, terminal_text

SHOWN = 20


def audit_table(report: dict[str, Any]) -> str:
    """One line a part with pass or fail, what it compared and cannot see; then warnings and the first leaks.

    Args:
        report: of :meth:`atft_pipeline.audit.audit.Audit.report`.
    """
    rows: list[list[str]] = []
    lines = {line["artifact"]: line for line in report["artifacts"]}
    for name, part in PARTS.items():
        line = lines.get(name)
        if line is None:
            rows.append([name, "0", "0", "-", f"not looked at: {part.compares}", ""])
            continue
        result = "FAIL" if line["leaks"] else "pass"
        rows.append([name, str(line["items"]), f"{line['values']:,}", result, line["compares"], line["unseen"]])
    drawn = table(
        ("part", "items", "values", "result", "compared", "cannot be seen"),
        rows,
        left=("part", "result"),
        folded=("compared", "cannot be seen"),
    )
    result = "PASSED" if report["passed"] else "FAILED"
    head = f"leak audit: {result}; futures replaced after {', '.join(report['dates'])}"
    below = [f"warning: {warning}" for warning in report["warnings"]]
    for leak in report["leaks"][:SHOWN]:
        share = f"{leak['differing']:,} of {leak['checked']:,} differ"
        below.append(f"{leak['artifact']}: {leak['item']}: {share}, first at {leak['first']}")
    suspects = [found for found in report["fingerprints"] if not found["passed"]]
    for found in suspects[:SHOWN]:
        ics = ", ".join(f"{horizon}d {value:+.3f}" for horizon, value in found["rank_ic"].items())
        below.append(f"fingerprint: {found['feature']} ({found['score']}): RankIC {ics}; t {found['t']:+.1f}")
    return terminal_text([head, drawn, *below])
