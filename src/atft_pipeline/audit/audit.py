"""The leak audit: for chosen dates, replace the future, rebuild, compare the past."""

import datetime as dt
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from atft_pipeline.audit.artifacts import check_stored
from atft_pipeline.audit.chain import Steps, World, build_world
from atft_pipeline.audit.compare import compare
from atft_pipeline.audit.config import AuditConfig
from atft_pipeline.audit.finding import PARTS, Finding
from atft_pipeline.audit.fingerprints import Fingerprint, search_fingerprints
from atft_pipeline.audit.newest import check_update
from atft_pipeline.audit.scramble import scramble_future
from atft_pipeline.audit.stored import Stored
from atft_pipeline.errors import ArtifactError, ConfigError, DataError
from atft_pipeline.features.config import FeaturesConfig
from atft_pipeline.progress import track

# Newest sessions on which the update is compared with a rebuild: enough for a universe.
UPDATED = 130
# Days, drawn over all months, and the last session but one, at which the artifacts in use are looked at with every
# listing: a leak that fills a month is met with 12 of them in a few years.
CUTS = 12
# Sessions after each date whose contents are replaced: more than the longest label reaches.
AFTER = 60
# Newest days up to each date whose scores are compared.
SCORE_DAYS = 20
# Of the draw of codes and days, and of the other future.
SEED = 0


@dataclass(frozen=True)
class Audit:
    """Result of an audit.

    Attributes:
        findings: one for each compared item and date.
        fingerprints: one for each examined score.
        warnings: what could not be looked at, and why.
        listings: hash of the listings known by each date.
    """

    findings: list[Finding]
    fingerprints: list[Fingerprint]
    warnings: tuple[str, ...] = ()
    listings: Mapping[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """No leak and no fingerprint."""
        return all(item.passed for item in self.findings) and all(item.passed for item in self.fingerprints)

    def report(self) -> dict[str, Any]:
        """Give plain JSON types."""
        return {
            "passed": self.passed,
            "dates": sorted({finding.date for finding in self.findings if finding.artifact == "clean_prices"}),
            "artifacts": self.artifacts(),
            "warnings": list(self.warnings),
            "listings": dict(self.listings),
            "leaks": [finding.as_json() for finding in self.findings if not finding.passed],
            "findings": [finding.as_json() for finding in self.findings],
            "fingerprints": [found.as_json() for found in self.fingerprints],
        }

    def artifacts(self) -> list[dict[str, Any]]:
        """One line a part: what was compared, what differed, what cannot be seen."""
        lines: dict[str, dict[str, Any]] = {}
        for finding in self.findings:
            line = lines.setdefault(finding.artifact, _line(finding.artifact))
            line["items"] += 1
            line["values"] += finding.checked
            line["leaks"] += not finding.passed
            if not finding.passed and not line["first"]:
                cut = "" if finding.date == "all" else f" (future from {finding.date})"
                line["first"] = f"{finding.item} at {finding.first}{cut}"
        if self.fingerprints:
            suspects = [found for found in self.fingerprints if not found.passed]
            lines["fingerprints"] = _line("fingerprints") | {
                "items": len(self.fingerprints),
                "values": len(self.fingerprints[0].rank_ic) * len(self.fingerprints),
                "leaks": len(suspects),
                "first": f"{suspects[0].feature}, {suspects[0].score}" if suspects else "",
            }
        return [lines[name] for name in PARTS if name in lines]


def _line(name: str) -> dict[str, Any]:
    words = {"compares": PARTS[name].compares, "unseen": PARTS[name].unseen}
    return {"artifact": name, "items": 0, "values": 0, "leaks": 0, "first": "", **words}


def audit(
    prices: pl.DataFrame,
    listings: pl.DataFrame | None,
    steps: Steps,
    settings: AuditConfig,
    stored: Stored | None = None,
) -> Audit:
    """Audit the chain and the artifacts in use.

    Args:
        prices: raw prices under canonical names: Date, Code, Open, High, Low, Close, Volume, others; or a prepared
            table as it was read.
        listings: raw listings, or ``None``.
        steps: the chain.
        settings: which dates, how much.
        stored: the artifacts in use; without them the chain alone is audited.

    Raises:
        DataError: a date leaves no session before or after it, or the drawn codes are too few.
    """
    findings: list[Finding] = []
    last_world: World | None = None
    dates = audit_dates(prices, settings)
    with _few_codes(settings):
        for number, last in enumerate(track(dates, "audit chain")):
            chosen = draw_codes(prices, settings, number)
            with tempfile.TemporaryDirectory(prefix="audit-") as folder:
                true, found = _audit_date(chosen, listings, steps, settings, last, Path(folder))
                findings += found
                last_world = true
        if stored is not None:
            findings += _newest(draw_codes(prices, settings), listings, steps, stored.labels)
    warnings: tuple[str, ...] = ()
    if stored is not None:
        found, warnings = check_stored(stored, prices, steps, CUTS, AFTER, SEED)
        findings += found
    fingerprints: list[Fingerprint] = []
    if settings.fingerprints and last_world is not None:
        meta = last_world.panel.meta
        names = tuple(name for name in meta.feature_names if name not in meta.market_features)
        fingerprints = list(search_fingerprints(last_world.features, names, meta.horizons))
    return Audit(findings, fingerprints, warnings)


@contextmanager
def _few_codes(settings: AuditConfig) -> Iterator[None]:
    """Say that the drawn codes are too few, where a stage refuses what is left of the market."""
    try:
        yield
    except (ArtifactError, ConfigError, DataError) as error:
        if not settings.codes:
            raise
        msg = (
            f"audit.codes={settings.codes}: the drawn codes alone are too few for the chain ({error}); draw more, or "
            "all with audit.codes=0"
        )
        raise DataError(msg) from error


def _newest(prices: pl.DataFrame, listings: pl.DataFrame | None, steps: Steps, how: FeaturesConfig) -> list[Finding]:
    """The update against a rebuild, on the newest sessions."""
    sessions = prices["Date"].unique().sort()
    rows = prices.filter(pl.col("Date") >= sessions[-min(UPDATED, len(sessions))])
    with tempfile.TemporaryDirectory(prefix="audit-") as name:
        folder, table = Path(name), None
        if listings is not None:
            table = folder / "listings.parquet"
            listings.write_parquet(table)
        return list(check_update(rows, table, steps, how, folder))


def audit_dates(prices: pl.DataFrame, settings: AuditConfig) -> list[dt.date]:
    """The audited dates, each a session with sessions before and after it.

    Raises:
        DataError: a named date lies outside.
    """
    sessions = prices["Date"].unique().sort()
    if not settings.dates:
        # In the second half, as features need history, up to the last session that has one after it.
        places = np.linspace(len(sessions) - 2, len(sessions) // 2, settings.count).astype(int)
        return [sessions[int(place)] for place in sorted(set(places.tolist()))]
    dates = [dt.date.fromisoformat(text) for text in settings.dates]
    for date in dates:
        if not sessions[0] <= date < sessions[-1]:
            span = f"the prices span {sessions[0]} to {sessions[-1]}"
            msg = f"audit.dates: {date} leaves no session before or after it; {span}"
            raise DataError(msg)
    return dates


def draw_codes(prices: pl.DataFrame, settings: AuditConfig, number: int = 0) -> pl.DataFrame:
    """Keep the rows of the drawn codes; each number draws others, until all were drawn."""
    codes = prices["Code"].unique().sort()
    if not settings.codes or settings.codes >= len(codes):
        return prices
    order = codes.shuffle(seed=SEED)
    chosen = [order[(number * settings.codes + place) % len(order)] for place in range(settings.codes)]
    return prices.filter(pl.col("Code").is_in(chosen))


def _audit_date(
    prices: pl.DataFrame,
    listings: pl.DataFrame | None,
    steps: Steps,
    settings: AuditConfig,
    last: dt.date,
    folder: Path,
) -> tuple[World, list[Finding]]:
    sessions = prices["Date"].unique().sort()
    before, after = sessions.filter(sessions <= last), sessions.filter(sessions > last)
    first = before[-settings.sessions] if 0 < settings.sessions < len(before) else before[0]
    end = after[min(AFTER, len(after)) - 1]
    rows = prices.filter(pl.col("Date").is_between(first, end))
    day = np.datetime64(last)
    true = build_world(rows, listings, steps, folder / "true", SCORE_DAYS, day)
    scrambled = scramble_future(rows, last, SEED)
    other = build_world(scrambled, listings, steps, folder / "other", SCORE_DAYS, day)
    meta = true.panel.meta
    span = meta.label_span - max(meta.horizons)
    return true, list(_each(compare(true, other, last, meta.horizons, span)))


def _each(findings: Iterator[Finding]) -> Iterator[Finding]:
    """Read everything while the files are still there."""
    yield from findings
