"""The audit as text for a terminal."""

from io import StringIO
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from atft_pipeline.audit.finding import PARTS

WIDTH = 118
SHOWN = 20


def audit_table(report: dict[str, Any]) -> str:
    """One line a part with pass or fail, what it compared and cannot see; then warnings and the first leaks.

    Args:
        report: of :meth:`atft_pipeline.audit.audit.Audit.report`.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("part", no_wrap=True)
    table.add_column("items", justify="right")
    table.add_column("values", justify="right")
    table.add_column("result")
    table.add_column("compared", overflow="fold")
    table.add_column("cannot be seen", overflow="fold")
    lines = {line["artifact"]: line for line in report["artifacts"]}
    for name, part in PARTS.items():
        line = lines.get(name)
        if line is None:
            table.add_row(name, "0", "0", "-", Text(f"not looked at: {part.compares}"), "")
            continue
        result = "FAIL" if line["leaks"] else "pass"
        words = (Text(line["compares"]), Text(line["unseen"]))
        table.add_row(name, str(line["items"]), f"{line['values']:,}", result, *words)
    text = StringIO()
    console = Console(file=text, width=WIDTH, color_system=None, markup=False, highlight=False)
    console.print(
        f"leak audit: {'PASSED' if report['passed'] else 'FAILED'}; futures replaced after {', '.join(report['dates'])}"
    )
    console.print(table)
    for warning in report["warnings"]:
        console.print(f"warning: {warning}")
    for leak in report["leaks"][:SHOWN]:
        share = f"{leak['differing']:,} of {leak['checked']:,} differ"
        console.print(f"{leak['artifact']}: {leak['item']}: {share}, first at {leak['first']}")
    suspects = [found for found in report["fingerprints"] if not found["passed"]]
    for found in suspects[:SHOWN]:
        ics = ", ".join(f"{horizon}d {value:+.3f}" for horizon, value in found["rank_ic"].items())
        console.print(f"fingerprint: {found['feature']} ({found['score']}): RankIC {ics}; t {found['t']:+.1f}")
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"
