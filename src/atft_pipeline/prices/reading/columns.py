"""Which column of a table means what, and how raw prices are adjusted where adjusted ones stand beside them."""

import difflib
from dataclasses import dataclass, replace

from atft_pipeline.errors import DataError
from atft_pipeline.prices.reading.config import PricesConfig
from atft_pipeline.prices.reading.dates import is_date
from atft_pipeline.prices.reading.names import (
    COLUMN_NAMES,
    OPTIONAL,
    PRESETS,
    PRICE_COLUMNS,
    REQUIRED,
    adjusted_field,
    key,
    recognise,
)
from atft_pipeline.prices.reading.record import How


@dataclass(frozen=True)
class Plan:
    """How a table is read.

    Attributes:
        preset: the source, as it was given or recognised.
        sources: canonical name -> column; Code is absent where the name of the file is the code.
        raw_close: close from which the factor of the adjustment is taken, or ``None``.
        factor: column of factors that adjust, or ``None``.
        scaled: canonical names that are adjusted by the factor; Volume inversely.
        time_zone: zone of instants at the source.
        note: what the user must know of the choice.
    """

    preset: str
    sources: dict[str, str]
    raw_close: str | None = None
    factor: str | None = None
    scaled: tuple[str, ...] = ()
    time_zone: str | None = None
    note: str | None = None

    @property
    def close(self) -> str:
        """Say which column Close is read from."""
        if self.factor is not None:
            return f"{self.sources['Close']!r} times {self.factor!r} (Volume divided by it)"
        told = repr(self.sources["Close"])
        if self.raw_close is None:
            return told
        scaled = ", ".join(name for name in self.scaled if name != "Volume")
        how = f"; {scaled} scaled likewise" if scaled else ""
        how += "; Volume scaled inversely" if "Volume" in self.scaled else ""
        return f"{told} in place of {self.raw_close!r}{how}"

    @property
    def dividends(self) -> How:
        """Say where the dividends are."""
        adjusted = self.factor is not None or adjusted_field(self.sources["Close"]) == "Close"
        if adjusted and not PRESETS[self.preset].splits_alone and not key(self.sources["Close"]).startswith("split"):
            return "in the close"
        return "column" if "Dividend" in self.sources else "unknown"


def choose_columns(table: object, names: list[str], settings: PricesConfig, date: str | None, named: bool) -> Plan:
    """Choose the columns of a table of one row a day and code.

    Args:
        table: for the messages.
        names: its columns.
        settings: preset and the user's own names.
        date: its column of dates, where that has no telling name.
        named: the code may come from the name of the file.

    Raises:
        DataError: a column is missing, or two could be meant.
    """
    preset = recognise(names) if settings.preset == "auto" else settings.preset
    user = settings.columns or {}
    for name, source in user.items():
        if source not in names:
            raise DataError(missing_column(table, name, names, settings))
    adjusted = _adjusted(table, names, set(user.values()))
    plain = [name for name in names if name not in adjusted.values()]
    found = {name: user.get(name) or find_column(plain, name, settings, table) for name in (*REQUIRED, *OPTIONAL)}
    found["Date"] = found["Date"] or date
    sources = {name: source for name, source in found.items() if source is not None}
    raw = find_column([name for name in plain if name not in user.values()], "Close", PricesConfig(), table)
    plan = _adjust(table, preset, sources, adjusted, user, raw)
    if preset == "tushare" and plan.raw_close is None and "adj_factor" in names and "Close" not in user:
        plan = Plan(preset, plan.sources, None, "adj_factor", (*PRICE_COLUMNS, "Vwap", "Volume"))
    _check(table, names, plan, settings, named)
    return replace(plan, time_zone=source_zone(names, settings))


def unused_adjustment(names: list[str], plan: Plan) -> str | None:
    """Name a column that tells of adjustments and that a plan does not use, such as CRSP's cfacpr."""
    words = ("factor", "cfac", "ajex", "qfq", "hfq", "复权")
    unused = (name for name in names if name not in plan.sources.values())
    return next((name for name in unused if any(word in key(name) for word in words)), None)


def source_zone(names: list[str], settings: PricesConfig) -> str | None:
    """Zone of the instants of the source that is given or recognised."""
    given = None if settings.preset == "auto" else PRESETS[settings.preset].time_zone
    return given or (None if settings.preset == "standard" else PRESETS[recognise(names)].time_zone)


def find_column(names: list[str], canonical: str, settings: PricesConfig, table: object) -> str | None:
    """Find the name that a canonical column has among ``names``, or ``None``.

    Raises:
        DataError: two columns of the table could be meant.
    """
    mapped = (settings.columns or {}).get(canonical)
    if mapped is not None:
        return mapped if mapped in names else None
    if canonical in names:
        return canonical
    exact = PRESETS["polygon"].exact or {}
    if {"o", "h", "l", "c"} <= set(names) and exact.get(canonical) in names:
        return exact[canonical]
    known = (key(canonical),) if settings.preset == "standard" else COLUMN_NAMES[canonical]
    for wanted in known:
        found = [name for name in names if key(name) == wanted]
        if len(found) > 1:
            msg = (
                f"{table}: columns {' and '.join(map(repr, found))} could both be {canonical}; choose one, such as "
                f"--params ingest.prices.columns.{canonical}={found[0]}"
            )
            raise DataError(msg)
        if found:
            return found[0]
    return None


def _adjusted(table: object, names: list[str], taken: set[str]) -> dict[str, str]:
    """Map canonical names to their adjusted columns."""
    adjusted: dict[str, str] = {}
    for name in names:
        canonical = adjusted_field(name)
        if canonical is None or name in taken:
            continue
        if canonical in adjusted:
            msg = (
                f"{table}: columns {adjusted[canonical]!r} and {name!r} could both be the adjusted {canonical}; choose "
                f"one, such as --params ingest.prices.columns.{canonical}={name}"
            )
            raise DataError(msg)
        adjusted[canonical] = name
    return adjusted


def _adjust(
    table: object,
    preset: str,
    sources: dict[str, str],
    adjusted: dict[str, str],
    user: dict[str, str],
    raw_close: str | None,
) -> Plan:
    """Prefer the adjusted close, and bring the other columns to its level."""
    own = user.get("Close")
    chosen = adjusted.get("Close") if own is None else own if adjusted_field(own) == "Close" else None
    if chosen is None:
        note = None
        if "Close" in adjusted and own is not None:
            note = f"Close is read from {own!r} as ingest.prices.columns says; {adjusted['Close']!r} is not used"
        return Plan(preset, sources, note=note)
    raw = sources.get("Close") if own is None else raw_close
    direct = {name: source for name, source in adjusted.items() if name not in user}
    result = {**sources, **direct, "Close": chosen}
    direct |= {name: source for name, source in user.items() if adjusted_field(source) == name}
    levels = ("Open", "High", "Low", "Vwap", "Volume")
    scaled = tuple(name for name in levels if name in sources and name not in direct)
    if raw is None:
        unlike = [name for name in scaled if name not in ("Volume", "Vwap")]
        if unlike and own is None:
            msg = (
                f"{table}: {chosen!r} is adjusted, and there is no raw close from which {', '.join(unlike)} can be "
                f'adjusted likewise; add it, or take all as adjusted: --params "ingest.prices.columns.Close={chosen}"'
            )
            raise DataError(msg)
        return Plan(preset, result)
    result.setdefault("UnadjustedClose", raw)
    return Plan(preset, result, raw_close=raw, scaled=scaled)


def _check(table: object, names: list[str], plan: Plan, settings: PricesConfig, named: bool) -> None:
    """Refuse a table without what is needed; closes alone are enough."""
    sources = plan.sources
    absent = [name for name in REQUIRED if name not in sources]
    if named and "Code" in absent:
        absent.remove("Code")
    if not any(name in sources for name in ("Open", "High", "Low")) and "Close" in sources:
        absent = [name for name in absent if name in ("Date", "Code")]
    if absent:
        raise DataError(missing_column(table, absent[0], names, settings))
    for name in ("Date", "Code", "Volume"):
        twice = [other for other in sources if other != name and sources[other] == sources.get(name)]
        if twice:
            msg = (
                f"{table}: column {sources[name]!r} is {twice[0]} and cannot be {name} too; name the column that is, "
                f"with --params ingest.prices.columns.{name}=ITS_NAME, or leave {name} out of ingest.prices.columns"
            )
            if name == "Code":
                msg += " (without a column of codes, the name of each file in a folder is its code)"
            raise DataError(msg)


def missing_column(table: object, name: str, names: list[str], settings: PricesConfig) -> str:
    """Compose the line about a column that is not there."""
    mapped = (settings.columns or {}).get(name)
    used = {
        find_column(names, other, PricesConfig(preset=settings.preset), table)
        for other in (*REQUIRED, *OPTIONAL)
        if other != name
    }
    free = [other for other in names if other not in used]
    near = next(iter(difflib.get_close_matches(mapped or name, free, 1, 0.6)), None)
    shown = f"{table}: column {mapped or name!r} is missing; it has {', '.join(names[:12])}"
    if len(names) == 1:
        return f"{shown} alone: separate the columns by commas, semicolons, tabs or |"
    if settings.preset == "standard" and mapped is None and recognise(names) != "standard":
        return (
            f"{shown}; these are not the names of preset standard: leave it out, or --params ingest.prices.preset=auto"
        )
    if name == "Code" and mapped is None and near is None:
        return (
            f"{shown}; where a file holds one ticker, give the folder of all such files, each named by its ticker "
            "(AAPL.csv); else name the column: --params ingest.prices.columns.Code=ITS_NAME"
        )
    if any(is_date(other) for other in names[:3]):
        return f"{shown}, which are values: give the file a first line of names"
    if near is None:
        which = f"NAME being one of {', '.join(free[:8])}" if free else "NAME being its column"
        return f"{shown}; map it with --params ingest.prices.columns.{name}=NAME, {which}, or add the column"
    advice = f"map it with ingest.prices.columns, such as {name}: {near}"
    return f'{shown}; {advice} (--params "ingest.prices.columns.{name}={near}")'
