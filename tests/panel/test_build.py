from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from atft_pipeline.errors import ArtifactError
from atft_pipeline.panel.build import PanelConfig, append_days, build_panel
from atft_pipeline.panel.panel import Panel
from tests.panel.market import FEATURES, listings_table, make_panel, write_features


def test_rows_of_the_table_are_rows_of_the_panel(tmp_path: Path) -> None:
    table = write_features(tmp_path / "features").to_pandas()
    panel = make_panel(tmp_path, dtype="float32")
    for day in (0, 11, 45, 59):
        view = panel.day(day)
        rows = table[table["Date"] == panel.dates[day].astype(object)]
        order = [panel.listings.index(name) for name in rows["Listing"]]
        back = np.argsort(order)
        assert view.listing.tolist() == sorted(order)
        np.testing.assert_array_equal(view.features, rows[list(FEATURES)].to_numpy()[back])
        np.testing.assert_array_equal(view.targets, rows[["target_1", "target_5"]].to_numpy()[back])
        np.testing.assert_array_equal(view.universe, rows["InUniverse"].to_numpy()[back])


def test_axes_and_names(tmp_path: Path) -> None:
    panel = make_panel(tmp_path)
    assert panel.shape == (60, 12, 4)
    # First appearance comes first, so that an appended panel and a rebuilt one number listings alike.
    assert panel.listings[-1] == "L03"
    assert panel.meta.sectors == ("unknown", "energy", "health")
    assert panel.sector[panel.listings.index("L02")] == 0
    assert panel.meta.market_features == ("regime",)
    assert panel.rows == sum(len(panel.day(day).listing) for day in range(60))


def test_views_do_not_copy(tmp_path: Path) -> None:
    panel = make_panel(tmp_path)
    features = panel.day(3).features
    assert features.dtype == np.float16
    assert not features.flags.owndata
    assert not features.flags.writeable
    again = panel.day(3).features
    assert features.__array_interface__["data"][0] == again.__array_interface__["data"][0]


def test_plain_arrow_and_polars_read_it(tmp_path: Path) -> None:
    panel = make_panel(tmp_path)
    table = pa.ipc.open_file(tmp_path / "panel.arrow").read_all()
    assert table.num_rows == panel.rows
    frame = pl.read_ipc(tmp_path / "panel.arrow")
    assert frame.height == panel.rows
    assert frame["features"].dtype.shape == (4,)


def test_same_input_same_file_and_other_input_other_fingerprint(tmp_path: Path) -> None:
    first = make_panel(tmp_path / "a", seed=1)
    second = make_panel(tmp_path / "b", seed=1)
    third = make_panel(tmp_path / "c", seed=2)
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.meta.fingerprint != third.meta.fingerprint
    assert first.meta.index_fingerprint == third.meta.index_fingerprint


def test_append_equals_rebuild_and_leaves_earlier_batches(tmp_path: Path) -> None:
    full = make_panel(tmp_path / "full")
    table = write_features(tmp_path / "short")
    cut = full.dates[40]
    for path in (tmp_path / "short").glob("*.parquet"):
        frame = pl.read_parquet(path).filter(pl.col("Date") <= cut.astype(object))
        path.unlink() if frame.is_empty() else frame.write_parquet(path)
    build_panel(tmp_path / "short", listings_table(), tmp_path / "short.arrow", PanelConfig(), {})
    short = Panel.open(tmp_path / "short.arrow")
    append_days(short, tmp_path / "full" / "features", listings_table(), tmp_path / "longer.arrow", {})
    longer = Panel.open(tmp_path / "longer.arrow")
    assert longer.index == full.index
    assert longer.meta.index_fingerprint == full.meta.index_fingerprint
    assert longer.meta.lineage["continues"] == short.meta.fingerprint
    for day in range(len(full.dates)):
        assert longer.batch(day).serialize().equals(full.batch(day).serialize())
    early = short.path.read_bytes()
    body = short.batch(0).column("features").flatten().buffers()[1].to_pybytes()
    assert body in early
    assert body in longer.path.read_bytes()
    assert table.num_rows == full.rows
    with pytest.raises(ArtifactError, match="nothing to append"):
        append_days(full, tmp_path / "full" / "features", listings_table(), tmp_path / "no.arrow", {})


@pytest.mark.parametrize("spoil", ["cut", "other", "gone"])
def test_what_is_no_panel_is_refused_in_one_line(tmp_path: Path, spoil: str) -> None:
    panel = make_panel(tmp_path)
    path = panel.path
    if spoil == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif spoil == "other":
        with pa.ipc.new_file(str(path), pa.schema([("a", pa.int32())])) as writer:
            writer.write_batch(pa.record_batch({"a": pa.array([1], pa.int32())}))
    else:
        path.unlink()
    with pytest.raises(ArtifactError, match="kedro run --pipeline=panel") as caught:
        Panel.open(path)
    assert "\n" not in str(caught.value)


def test_unsorted_features_are_refused(tmp_path: Path) -> None:
    write_features(tmp_path / "features")
    path = sorted((tmp_path / "features").glob("*.parquet"))[0]
    pl.read_parquet(path).sort("Listing", "Date").write_parquet(path)
    with pytest.raises(ArtifactError, match="sorted by Date"):
        build_panel(tmp_path / "features", listings_table(), tmp_path / "panel.arrow", PanelConfig(), {})
