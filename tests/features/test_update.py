from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from atft_pipeline.errors import ArtifactError, DataError
from atft_pipeline.features.build import build_features, features_fingerprint
from atft_pipeline.features.config import FeaturesConfig
from atft_pipeline.features.manifest import MANIFEST, read_manifest
from atft_pipeline.features.update import check_delivered, update_features
from tests.features.market import raw_market
from tests.prices.frames import clean_frame, listings_table

CONFIG = FeaturesConfig(groups=("extras",), horizons=(1, 5))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    return clean_frame(sessions=300, listings=9, missing=0.02, absent=0.05)


def cut(frame: pl.DataFrame, days: int) -> pl.DataFrame:
    return frame.filter(pl.col("Date") < frame["Date"].unique().sort()[days])


@pytest.mark.parametrize("steps", [(299, 300), (280, 281, 300), (190, 300)])
def test_updates_equal_a_full_build_file_for_file(frame: pl.DataFrame, tmp_path: Path, steps: tuple[int, ...]) -> None:
    build_features(cut(frame, steps[0]), listings_table(), CONFIG, tmp_path / "0")
    for number, days in enumerate(steps[1:], start=1):
        now = frame if days == 300 else cut(frame, days)
        update_features(tmp_path / str(number - 1), now, listings_table(), CONFIG, tmp_path / str(number))
    build_features(frame, listings_table(), CONFIG, tmp_path / "full")
    assert files(tmp_path / str(len(steps) - 1)) == files(tmp_path / "full")
    assert read_manifest(tmp_path / "full").fingerprint == features_fingerprint(frame, listings_table(), CONFIG)


def test_months_that_stay_are_linked_not_written(frame: pl.DataFrame, tmp_path: Path) -> None:
    build_features(cut(frame, 299), listings_table(), CONFIG, tmp_path / "old")
    start = update_features(tmp_path / "old", frame, listings_table(), CONFIG, tmp_path / "new")
    for path in (tmp_path / "new").glob("*.parquet"):
        assert path.samefile(tmp_path / "old" / path.name) == (path.stem < f"{start:%Y-%m}")


def test_a_listing_that_appears_with_a_sector_of_its_own(frame: pl.DataFrame, tmp_path: Path) -> None:
    """A new sector moves the numbers of the others; no earlier row changes."""
    day = frame["Date"].unique().sort()[296]
    late = frame.filter((pl.col("Listing") == "L01") & (pl.col("Date") >= day)).with_columns(Listing=pl.lit("L00x"))
    grown = pl.concat([frame, late]).sort("Listing", "Date")
    table = pl.concat([listings_table(), listings_table()[:1].with_columns(Listing=pl.lit("L00x"), sector=pl.lit("A"))])
    build_features(cut(frame, 296), listings_table(), CONFIG, tmp_path / "old")
    update_features(tmp_path / "old", grown, table, CONFIG, tmp_path / "new")
    build_features(grown, table, CONFIG, tmp_path / "full")
    assert files(tmp_path / "new") == files(tmp_path / "full")


def test_without_a_later_day_all_is_linked(frame: pl.DataFrame, tmp_path: Path) -> None:
    """An update that was stopped after its features goes on with them."""
    build_features(cut(frame, 299), listings_table(), CONFIG, tmp_path / "old")
    update_features(tmp_path / "old", cut(frame, 299), listings_table(), CONFIG, tmp_path / "new")
    assert files(tmp_path / "new") == files(tmp_path / "old")
    assert all(path.samefile(tmp_path / "old" / path.name) for path in (tmp_path / "new").iterdir())


@pytest.mark.parametrize(("codes", "share", "refused"), [(4, 0.5, True), (5, 0.5, False), (4, 0.4, False)])
@pytest.mark.parametrize("blank", ["absent", "no close", "no volume"])
def test_a_day_that_has_not_arrived_in_full(codes: int, share: float, blank: str, *, refused: bool) -> None:
    clean = raw_market(10, 30).with_columns(Listing="Code")
    rest = (pl.col("Date") == clean["Date"].max()) & (pl.col("Code") >= f"C{codes:02d}")
    if blank == "absent":
        clean = clean.filter(~rest)
    elif blank == "no close":
        clean = clean.with_columns(Close=pl.when(~rest).then("Close"))
    else:
        clean = clean.with_columns(Volume=pl.when(rest).then(0.0).otherwise("Volume"))
    if not refused:
        check_delivered(clean, share, Path("p.csv"))
        return
    with pytest.raises(DataError, match=rf"has {codes} traded listings, usually there are 10: ") as caught:
        check_delivered(clean, share, Path("p.csv"))
    # What the line advises lets the day pass.
    check_delivered(
        clean, float(str(caught.value).split("--params prices=p.csv,ingest.min_delivered=")[1]), Path("p.csv")
    )


def test_other_history_or_parameters_are_refused(frame: pl.DataFrame, tmp_path: Path) -> None:
    """A split that adjusts the past, another sector, another parameter: nothing is written."""
    old = tmp_path / "old"
    build_features(cut(frame, 299), listings_table(), CONFIG, old)
    halved = frame.with_columns(Close=pl.when(pl.col("Listing") == "L02").then(pl.col("Close") / 2).otherwise("Close"))
    moved = listings_table().with_columns(sector=pl.lit("another"))
    cases = [
        (halved, listings_table(), CONFIG),
        (frame, moved, CONFIG),
        (frame, listings_table(), replace(CONFIG, clip=2.0)),
    ]
    for clean, listings, config in cases:
        with pytest.raises(ArtifactError, match=r"are not those that .* rebuild with: kedro run --pipeline=data"):
            update_features(old, clean, listings, config, tmp_path / "new")
    (old / MANIFEST).write_text("{")
    with pytest.raises(ArtifactError, match=r"features\.json is missing or damaged"):
        update_features(old, frame, listings_table(), CONFIG, tmp_path / "new")
    assert not (tmp_path / "new").exists()
