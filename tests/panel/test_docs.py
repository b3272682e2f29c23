"""The ways of reading a panel that the documentation shows."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from tests.panel.market import make_panel


def test_plain_pyarrow_and_polars_read_it(tmp_path: Path) -> None:
    panel = make_panel(tmp_path)
    reader = pa.ipc.open_file(pa.memory_map(str(panel.path)))
    document = json.loads(reader.schema.metadata[b"panel"])
    batch = reader.get_batch(reader.num_record_batches - 1)
    width = len(document["meta"]["feature_names"])
    features = batch["features"].flatten().to_numpy().reshape(-1, width)
    last = panel.day(len(panel.dates) - 1)
    np.testing.assert_array_equal(features, last.features)
    frame = pl.read_ipc(panel.path, columns=["listing", "universe", "returns"])
    assert frame.height == sum(len(panel.day(day).listing) for day in range(len(panel.dates)))
    np.testing.assert_array_equal(frame["listing"].tail(len(last.listing)).to_numpy(), last.listing)
