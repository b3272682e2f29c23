import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from atft_pipeline.errors import ConfigError, DataError
from atft_pipeline.features import alpha158, extras
from atft_pipeline.features.build import FeatureManifest, FeaturesConfig, build_features
from atft_pipeline.features.update import update_start
from tests.prices.frames import clean_frame, listings_table

SMALL = FeaturesConfig(groups=("extras",), horizons=(1, 5))


def table(folder: Path) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in sorted(folder.glob("*.parquet"))])


def build(
    frame: pl.DataFrame, folder: Path, config: FeaturesConfig = SMALL, since: date | None = None
) -> tuple[pl.DataFrame, FeatureManifest]:
    manifest = build_features(frame, listings_table(), config, folder, since=since)
    return table(folder), manifest


def test_the_table_and_its_manifest(tmp_path: Path) -> None:
    frame = clean_frame()
    found, manifest = build(frame, tmp_path, FeaturesConfig())
    assert found.select("Date", "Listing").equals(frame.sort("Date", "Listing").select("Date", "Listing"))
    assert found["InUniverse"].to_list() == frame.sort("Date", "Listing")["InUniverse"].to_list()
    stored = json.loads((tmp_path / "features.json").read_text())
    assert tuple(stored["features"]) == manifest.features
    assert manifest.features[:158] == alpha158.NAMES
    assert set(manifest.market_features) == {*extras.REGIME, *extras.CALENDAR}
    assert stored["horizons"] == [1, 5, 10, 20]
    assert stored["label"] == "close_to_close"
    labels = [f"{kind}_{h}" for h in (1, 5, 10, 20) for kind in ("target", "return")]
    assert found.columns == ["Date", "Listing", "InUniverse", *manifest.features, *labels]
    assert set(found.select(*manifest.features, *labels).dtypes) == {pl.Float32}
    values = found.select(manifest.features)
    assert values.select(pl.all().is_finite().all()).row(0) == (True,) * len(manifest.features)
    assert sum(values.null_count().row(0)) == 0
    months = {path.stem for path in tmp_path.glob("*.parquet")}
    assert months == set(manifest.months) == {day.strftime("%Y-%m") for day in frame["Date"]}
    one = pl.read_parquet(tmp_path / "2020-02.parquet")
    assert set(one["Date"].dt.strftime("%Y-%m")) == {"2020-02"}


def test_the_first_target_is_missing_exactly_where_the_return_is_or_outside_the_universe(tmp_path: Path) -> None:
    found, _ = build(clean_frame(), tmp_path)
    for horizon in (1, 5):
        known = found[f"return_{horizon}"].is_not_null() & found["InUniverse"]
        assert (found[f"target_{horizon}"].is_not_null() == known).all()


@pytest.mark.parametrize("groups", [("alpha158",), ("extras",)])
def test_the_past_does_not_see_the_future(tmp_path: Path, groups: tuple[str, ...]) -> None:
    frame = clean_frame(sessions=110, missing=0.02)
    config = replace(SMALL, groups=groups, target_normalisation="robust_z")
    cut = frame["Date"].unique().sort()[70]
    rng = np.random.default_rng(5)
    later = pl.Series(np.where(frame["Date"] > cut, rng.uniform(0.2, 5.0, frame.height), 1.0))
    names = ["Open", "High", "Low", "Close", "Volume"]
    scrambled = frame.with_columns(pl.col(name) * later for name in names).with_columns(
        InUniverse=pl.col("InUniverse") ^ ((pl.col("Date") > cut) & pl.Series(rng.random(frame.height) < 0.5))
    )
    scrambled = scrambled.filter((pl.col("Date") <= cut) | (pl.col("Listing") != "L03"))
    one, manifest = build(frame, tmp_path / "one", config)
    two, _ = build(scrambled, tmp_path / "two", config)
    keep = ["Date", "Listing", *manifest.features]
    past_one, past_two = (x.filter(pl.col("Date") <= cut).select(keep) for x in (one, two))
    assert past_one.equals(past_two)
    assert not one.select(keep).equals(two.select(keep))
    safe = frame["Date"].unique().sort()[40]
    assert one.filter(pl.col("Date") <= safe).equals(two.filter(pl.col("Date") <= safe))


def test_building_the_last_days_equals_a_full_build(tmp_path: Path) -> None:
    frame = clean_frame(sessions=400, listings=7, missing=0.02, absent=0.1)
    config = FeaturesConfig(missing="mask")
    since = frame["Date"].unique().sort()[360]
    full, _ = build(frame, tmp_path / "full", config)
    last, manifest = build(frame, tmp_path / "last", config, since=since)
    assert last.equals(full.filter(pl.col("Date") >= since))
    assert manifest.rows == last.height


def test_blocks_spans_and_threads_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = clean_frame(missing=0.01)
    one, first = build(frame, tmp_path / "one")
    monkeypatch.setattr("atft_pipeline.features.build.BLOCK_CELLS", 200)
    monkeypatch.setattr("atft_pipeline.features.build.SPAN_ROWS", 100)
    monkeypatch.setattr("atft_pipeline.features.build.available_cores", lambda: 3)
    two, second = build(frame, tmp_path / "two")
    assert one.equals(two)
    assert first.fingerprint == second.fingerprint


def test_row_order_of_the_input_changes_nothing(tmp_path: Path) -> None:
    frame = clean_frame()
    one, first = build(frame, tmp_path / "one")
    two, second = build(frame.sample(fraction=1.0, shuffle=True, seed=1), tmp_path / "two")
    assert one.equals(two)
    assert first.fingerprint == second.fingerprint


def test_the_fingerprint_follows_prices_and_parameters(tmp_path: Path) -> None:
    frame = clean_frame()
    prints = {
        build(frame, tmp_path / "a")[1].fingerprint,
        build(frame.with_columns(pl.col("Open") * 1.01), tmp_path / "b")[1].fingerprint,
        build(frame, tmp_path / "c", replace(SMALL, clip=2.0))[1].fingerprint,
    }
    assert len(prints) == 3


def test_market_columns_are_equal_within_days_and_survive(tmp_path: Path) -> None:
    found, manifest = build(clean_frame(sessions=150), tmp_path)
    spread = found.group_by("Date").agg(pl.col(manifest.market_features).n_unique())
    assert spread.select(pl.exclude("Date").max().max()).row(0) == (1,) * len(manifest.market_features)
    per_day = found.unique("Date").sort("Date").tail(60)
    assert min(per_day.select(pl.col(manifest.market_features).std()).row(0)) > 0.02
    assert per_day.select(pl.max_horizontal(pl.col(manifest.market_features).abs().max())).item() <= 3.0


def test_each_listing_stands_alone_before_the_cross_section(tmp_path: Path) -> None:
    frame = clean_frame(listings=6)
    config = FeaturesConfig(groups=("alpha158",), normalisation="none", horizons=(1,))
    whole, manifest = build(frame, tmp_path / "whole", config)
    alone, _ = build(frame.filter(pl.col("Listing") == "L02"), tmp_path / "alone", config)
    # Labels count sessions of the market, which one listing alone does not know.
    keep = ["Date", *manifest.features]
    assert whole.filter(pl.col("Listing") == "L02").select(keep).equals(alone.select(keep))


def test_update_start_covers_every_label_that_new_days_complete(tmp_path: Path) -> None:
    frame = clean_frame(absent=0.1)
    days = frame["Date"].unique().sort()
    before, after = frame.filter(pl.col("Date") < days[100]), frame.filter(pl.col("Date") <= days[102])
    old, _ = build(before, tmp_path / "old")
    new, _ = build(after, tmp_path / "new")
    start = update_start(after, days[100], SMALL)
    assert days[80] < start < days[100]
    assert old.filter(pl.col("Date") < start).equals(new.filter(pl.col("Date") < start))
    assert update_start(before.clear(), days[100], SMALL) == days[100]


def test_parts_of_the_extras_are_chosen_by_name(tmp_path: Path) -> None:
    _, manifest = build(clean_frame(), tmp_path, replace(SMALL, groups=("sector", "calendar")))
    assert manifest.features == (*extras.SECTOR, *extras.CALENDAR)
    bare = build_features(clean_frame(), None, SMALL, tmp_path / "bare")
    assert not set(bare.features) & set(extras.SECTOR)


def test_passed_columns_by_pattern(tmp_path: Path) -> None:
    frame = clean_frame().with_columns(
        x_own=pl.col("Close") * 2,
        x_hole=pl.when(pl.col("Volume") > 2000).then(pl.col("Volume")),
        m_rate=pl.col("Date").dt.day().cast(pl.Float64),
        x_text=pl.lit("no number"),
    )
    config = replace(SMALL, groups=("calendar",), passthrough=("x_*",), passthrough_market=("m_*",), missing="mask")
    found, manifest = build(frame, tmp_path, config)
    assert manifest.features == ("x_own", "x_hole", "MISSING_FRACTION", *extras.CALENDAR, "m_rate")
    assert manifest.market_features[-1] == "m_rate"
    assert set(found["MISSING_FRACTION"].unique()) == {0.0, 0.5}
    assert found.filter(pl.col("MISSING_FRACTION") == 0.5)["x_hole"].abs().max() == 0.0
    assert found["m_rate"].std() > 0.3


def test_a_market_column_is_the_same_for_all_listings_of_a_day(tmp_path: Path) -> None:
    frame = clean_frame().with_columns(m_rate=pl.col("Date").dt.day().cast(pl.Float64))
    last = pl.int_range(pl.len()) == pl.len() - 1
    differs = frame.with_columns(m_rate=pl.when(last).then(99.5).otherwise("m_rate"))
    for market, table in (("m_rate", differs), ("Volume", frame)):
        config = replace(SMALL, groups=("calendar",), passthrough_market=(market,))
        with pytest.raises(DataError, match=f"passthrough_market: {market} differs between the listings of a day"):
            build(table, tmp_path / market, config)


def test_a_prepared_table_enters_as_it_is(tmp_path: Path) -> None:
    source = clean_frame().select("Date", "Listing", x1="Close", x2="Volume", return_1=pl.col("Open") / 100)
    config = FeaturesConfig(groups=(), passthrough=("*",), normalisation="none", horizons=(1,))
    found, manifest = build(source, tmp_path, config)
    assert manifest.features == ("x1", "x2")
    wanted = source.sort("Date", "Listing").select(pl.col("x1", "x2", "return_1").cast(pl.Float32))
    assert found.select("x1", "x2", "return_1").equals(wanted)
    assert found["InUniverse"].all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": ("alpha360",)}, "alpha360"),
        ({"horizons": ()}, "horizons"),
        ({"horizons": (5, 1)}, "ascend"),
        ({"horizons": (0, 1)}, "from 1 to"),
        ({"clip": 0.0}, "clip"),
    ],
)
def test_bad_parameters_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FeaturesConfig(**change)  # type: ignore[arg-type]


def test_bad_frames_are_refused(tmp_path: Path) -> None:
    frame = clean_frame(listings=3, sessions=20)
    cases = [
        (frame.clear(), SMALL, "empty"),
        (frame.drop("Volume"), SMALL, "Volume"),
        (frame, replace(SMALL, groups=()), "no feature"),
        (frame, replace(SMALL, passthrough=("y_*",)), "y_"),
        (frame.with_columns(x=pl.lit("a")), replace(SMALL, passthrough=("x",)), "not numeric"),
        (frame.with_columns(RET1=pl.col("Close")), replace(SMALL, passthrough=("RET1",)), "rename"),
        (frame.select("Date", "Listing", "Open"), replace(SMALL, groups=(), passthrough=("Open",)), "return_1"),
    ]
    for bad, config, message in cases:
        with pytest.raises(DataError, match=message):
            build_features(bad, None, config, tmp_path / "out")
    assert not list(tmp_path.rglob("*.parquet"))
