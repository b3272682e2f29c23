import pickle
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from atft_pipeline.errors import ArtifactError
from atft_pipeline.panel.build import append_days, build_panel
from atft_pipeline.panel.config import PanelConfig, ResidencyConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidentPanel
from tests.panel.market import FEATURES, listings_table, make_panel, restate, write_features


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
    restate(tmp_path / "short")
    build_panel(tmp_path / "short", listings_table(), tmp_path / "short.arrow", PanelConfig())
    short = Panel.open(tmp_path / "short.arrow")
    append_days(short, tmp_path / "full" / "features", listings_table(), tmp_path / "longer.arrow")
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
        append_days(full, tmp_path / "full" / "features", listings_table(), tmp_path / "no.arrow")


def test_append_takes_the_days_whose_labels_were_completed(tmp_path: Path) -> None:
    """The short panel lacks the labels of its last five days; with ``since`` they are those of a rebuild."""
    full = make_panel(tmp_path / "full")
    write_features(tmp_path / "short")
    cut, late = full.dates[40].astype(object), full.dates[36].astype(object)
    for path in (tmp_path / "short").glob("*.parquet"):
        frame = pl.read_parquet(path).filter(pl.col("Date") <= cut)
        labels = [name for name in frame.columns if name.startswith(("target_", "return_"))]
        unknown = frame.with_columns(pl.when(pl.col("Date") < late).then(name).alias(name) for name in labels)
        path.unlink() if frame.is_empty() else unknown.write_parquet(path)
    restate(tmp_path / "short")
    build_panel(tmp_path / "short", listings_table(), tmp_path / "short.arrow", PanelConfig())
    short = Panel.open(tmp_path / "short.arrow")
    features = tmp_path / "full" / "features"

    def differing(since: str | None) -> list[int]:
        append_days(short, features, listings_table(), tmp_path / "longer.arrow", since)
        longer = Panel.open(tmp_path / "longer.arrow")
        assert longer.index == full.index
        days = range(len(full.dates))
        return [day for day in days if not longer.batch(day).serialize().equals(full.batch(day).serialize())]

    assert differing(None) == [36, 37, 38, 39, 40]
    assert differing(str(late)) == []
    assert differing(str(full.dates[0])) == []
    assert differing(str(full.dates[38])) == [36, 37]


def test_continued_panels_differ_by_what_they_continue(tmp_path: Path) -> None:
    """The same new days after other old ones are another panel."""
    full = make_panel(tmp_path / "full")
    found = set()
    for seed in (1, 2):
        write_features(tmp_path / f"{seed}", days=41, seed=seed)
        build_panel(tmp_path / f"{seed}", listings_table(), tmp_path / f"{seed}.arrow", PanelConfig())
        short = Panel.open(tmp_path / f"{seed}.arrow")
        meta = append_days(short, tmp_path / "full" / "features", listings_table(), tmp_path / f"{seed}.longer")
        found.add(meta.fingerprint)
    assert len(found) == 2
    assert full.meta.fingerprint not in found


def test_the_tail_is_the_last_days_of_the_same_file(tmp_path: Path) -> None:
    panel = make_panel(tmp_path)
    tail = panel.tail(7)
    assert tail.shape == (7, *panel.shape[1:])
    assert tail.dates.tolist() == panel.dates[-7:].tolist()
    assert tail.index.rows == panel.index.rows[-7:]
    for view in (tail, pickle.loads(pickle.dumps(tail)), panel.tail(20).tail(7)):
        for day in range(7):
            assert view.batch(day).serialize().equals(panel.batch(53 + day).serialize())
    assert panel.tail(999).dates.tolist() == panel.dates.tolist()


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
        build_panel(tmp_path / "features", listings_table(), tmp_path / "panel.arrow", PanelConfig())


def damaged(panel: Panel, days: range, column: str) -> None:
    """Overwrite a column of some days in the file, as a failing disk or another program would."""
    for day in days:
        values = panel.batch(day).column(column).flatten().buffers()[1]
        body = panel.path.read_bytes()
        place = body.index(values.to_pybytes())
        panel.path.write_bytes(
            body[:place] + np.random.default_rng(day).bytes(values.size) + body[place + values.size :]
        )


@pytest.mark.parametrize("column", ["features", "targets", "returns"])
def test_days_that_were_overwritten_are_noticed_when_they_are_read(tmp_path: Path, column: str) -> None:
    damaged(make_panel(tmp_path), range(20, 23), column)
    panel = Panel.open(tmp_path / "panel.arrow")
    panel.day(19)
    line = f"the rows of {panel.index.dates[20]} are not those that were written .* --pipeline=panel$"
    with pytest.raises(ArtifactError, match=line):
        panel.day(20)
    with pytest.raises(ArtifactError, match=line):
        ResidentPanel.load(panel, ResidencyConfig(mode="host"))
    write_features(tmp_path / "more", days=62)
    with pytest.raises(ArtifactError, match=line):
        append_days(panel, tmp_path / "more", listings_table(), tmp_path / "longer.arrow")


def test_labels_alone_are_read_without_the_features(tmp_path: Path) -> None:
    damaged(make_panel(tmp_path), range(20, 21), "features")
    panel = Panel.open(tmp_path / "panel.arrow")
    resident = ResidentPanel.load(panel, ResidencyConfig(mode="mmap"))
    with pytest.raises(ArtifactError, match="the rows of"):
        resident.windows(torch.tensor([22]), torch.tensor([0]), 5)


@pytest.mark.parametrize("change", ["a month is gone", "a month too many", "rows are gone", "empty"])
def test_a_feature_table_that_is_not_whole_is_refused(tmp_path: Path, change: str) -> None:
    features = tmp_path / "features"
    panel = make_panel(tmp_path)
    months = sorted(features.glob("*.parquet"))
    if change == "a month is gone":
        months[1].unlink()
    elif change == "a month too many":
        shutil.copy(months[0], features / "1999-01.parquet")
    elif change == "rows are gone":
        pq.write_table(pq.read_table(months[1])[3:], months[1])
    else:
        for month in months:
            month.unlink()
    with pytest.raises(ArtifactError, match=r"make the features again with: kedro run --pipeline=features$"):
        build_panel(features, listings_table(), tmp_path / "again.arrow", PanelConfig())
    with pytest.raises(ArtifactError, match=r"make the features again with: kedro run --pipeline=features$"):
        append_days(panel, features, listings_table(), tmp_path / "longer.arrow")
