"""The leak audit: for chosen dates, replace the future, rebuild, compare the past."""

import datetime as dt
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from atft_pipeline.audit.chain import Steps, World, build_world
from atft_pipeline.audit.compare import Finding, compare
from atft_pipeline.audit.fingerprints import Fingerprint, FingerprintConfig, search_fingerprints
from atft_pipeline.audit.scramble import scramble_future
from atft_pipeline.config import config, require
from atft_pipeline.errors import DataError
from atft_pipeline.progress import track


@config
class AuditConfig:
    """What is audited.

    Attributes:
        dates: audited dates, ISO; empty = ``count`` dates spread over the second half of the prices.
        count: how many, where none are named.
        codes: codes drawn for the audit; 0 = all. Fewer are faster; the rules do not depend on their number.
        sessions: sessions before each date that are rebuilt; 0 = all.
        after: sessions after each date, whose contents are replaced.
        score_days: newest days up to each date whose scores are compared.
        seed: of the draw and of the other future.
        fingerprints: the search among the features.
    """

    dates: tuple[str, ...] = ()
    count: int = 2
    codes: int = 0
    sessions: int = 0
    after: int = 60
    score_days: int = 20
    seed: int = 0
    fingerprints: FingerprintConfig = FingerprintConfig()

    def __post_init__(self) -> None:
        for date in self.dates:
            try:
                dt.date.fromisoformat(date)
            except ValueError:
                require(ok=False, message=f"dates must be ISO dates such as 2024-12-31, got {date!r}")
        require(self.count >= 1, f"count must be at least 1, got {self.count}")
        for name in ("codes", "sessions"):
            require(getattr(self, name) >= 0, f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("after", "score_days"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True)
class Audit:
    """Result of an audit.

    Attributes:
        findings: one for each compared item and date.
        fingerprints: one for each examined score.
    """

    findings: list[Finding]
    fingerprints: list[Fingerprint]

    @property
    def passed(self) -> bool:
        """No leak and no fingerprint."""
        return all(item.passed for item in self.findings) and all(item.passed for item in self.fingerprints)

    def report(self) -> dict[str, Any]:
        """Give plain JSON types."""
        return {
            "passed": self.passed,
            "dates": sorted({finding.date for finding in self.findings}),
            "artifacts": self.artifacts(),
            "leaks": [finding.as_json() for finding in self.findings if not finding.passed],
            "findings": [finding.as_json() for finding in self.findings],
            "fingerprints": [found.as_json() for found in self.fingerprints],
        }

    def artifacts(self) -> list[dict[str, Any]]:
        """One line an artifact: what was compared and what differed."""
        lines: dict[str, dict[str, Any]] = {}
        for finding in self.findings:
            line = lines.setdefault(
                finding.artifact, {"artifact": finding.artifact, "items": 0, "values": 0, "leaks": 0, "first": ""}
            )
            line["items"] += 1
            line["values"] += finding.checked
            line["leaks"] += not finding.passed
            if not finding.passed and not line["first"]:
                line["first"] = f"{finding.item} at {finding.first} (future from {finding.date})"
        if self.fingerprints:
            suspects = [found for found in self.fingerprints if not found.passed]
            first = f"{suspects[0].feature}, {suspects[0].score}" if suspects else ""
            lines["fingerprints"] = {
                "artifact": "fingerprints",
                "items": len(self.fingerprints),
                "values": len(self.fingerprints[0].rank_ic) * len(self.fingerprints),
                "leaks": len(suspects),
                "first": first,
            }
        return list(lines.values())


def audit(
    prices: pl.DataFrame,
    listings: pl.DataFrame | None,
    steps: Steps,
    settings: AuditConfig,
    features: tuple[pl.DataFrame, tuple[str, ...]] | None = None,
) -> Audit:
    """Audit the chain.

    Args:
        prices: raw prices under canonical names: Date, Code, Open, High, Low, Close, Volume, others.
        listings: raw listings, or ``None``.
        steps: the chain.
        settings: which dates, how much.
        features: the feature table that is in use and its per-listing features, for the search for fingerprints;
            ``None`` takes the tables rebuilt for the last audited date.

    Raises:
        DataError: a date leaves no session before or after it.
    """
    chosen = draw_codes(prices, settings)
    findings: list[Finding] = []
    last_world: World | None = None
    for last in track(audit_dates(prices, settings), "audit"):
        with tempfile.TemporaryDirectory(prefix="audit-") as folder:
            true, found = _audit_date(chosen, listings, steps, settings, last, Path(folder))
            findings += found
            last_world = true
    fingerprints: list[Fingerprint] = []
    if settings.fingerprints.enabled and last_world is not None:
        meta = last_world.panel.meta
        names = tuple(name for name in meta.feature_names if name not in meta.market_features)
        table, names = features or (last_world.features, names)
        fingerprints = list(search_fingerprints(table, names, meta.horizons, settings.fingerprints))
    return Audit(findings, fingerprints)


def audit_dates(prices: pl.DataFrame, settings: AuditConfig) -> list[dt.date]:
    """The audited dates, each a session with sessions before and after it.

    Raises:
        DataError: a named date lies outside.
    """
    sessions = prices["Date"].unique().sort()
    if not settings.dates:
        # In the second half, away from both ends: features need history, labels need a future.
        places = np.linspace(len(sessions) // 2, len(sessions) * 9 // 10, settings.count).astype(int)
        return [sessions[int(place)] for place in dict.fromkeys(places.tolist())]
    dates = [dt.date.fromisoformat(text) for text in settings.dates]
    for date in dates:
        if not sessions[0] <= date < sessions[-1]:
            span = f"the prices span {sessions[0]} to {sessions[-1]}"
            msg = f"audit.dates: {date} leaves no session before or after it; {span}"
            raise DataError(msg)
    return dates


def draw_codes(prices: pl.DataFrame, settings: AuditConfig) -> pl.DataFrame:
    """Keep the rows of the drawn codes."""
    codes = prices["Code"].unique().sort()
    if not settings.codes or settings.codes >= len(codes):
        return prices
    return prices.filter(pl.col("Code").is_in(codes.sample(settings.codes, seed=settings.seed).implode()))


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
    end = after[min(settings.after, len(after)) - 1]
    rows = prices.filter(pl.col("Date").is_between(first, end))
    day = np.datetime64(last)
    true = build_world(rows, listings, steps, folder / "true", settings.score_days, day)
    scrambled = scramble_future(rows, last, settings.seed)
    other = build_world(scrambled, listings, steps, folder / "other", settings.score_days, day)
    meta = true.panel.meta
    span = meta.label_span - max(meta.horizons)
    return true, list(_each(compare(true, other, last, meta.horizons, span)))


def _each(findings: Iterator[Finding]) -> Iterator[Finding]:
    """Read everything while the files are still there."""
    yield from findings
