import datetime as dt
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from atft_pipeline.errors import ArtifactError
from atft_pipeline.graphs.config import GraphConfig
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.panel.batches import NeighborSource
from tests.graphs.market import build, make_market, names

SMALL = GraphConfig(k=5, min_sector_neighbours=2)


@pytest.fixture
def graphs(tmp_path: Path) -> MonthlyGraphs:
    return build(tmp_path / "graphs.arrow", make_market(), SMALL)


def test_says_what_it_is(graphs: MonthlyGraphs) -> None:
    assert graphs.meta.index_fingerprint == "index"
    assert graphs.meta.listings == names(24)
    assert graphs.meta.config["window"] == 60
    assert graphs.k == 5
    assert [entry.month for entry in graphs.meta.months] == graphs.months.astype(str).tolist()
    assert all(entry.first < entry.last < entry.month for entry in graphs.meta.months)


def test_views_lie_in_the_map(graphs: MonthlyGraphs) -> None:
    pa_bytes = pa.total_allocated_bytes()
    neighbors, edge_attr = graphs.neighbors(1), graphs.edge_attr(1)
    assert pa.total_allocated_bytes() == pa_bytes
    assert (neighbors.dtype, neighbors.shape) == (np.int32, (24, 5))
    assert (edge_attr.dtype, edge_attr.shape) == (np.float32, (24, 5, 3))
    assert not neighbors.flags.owndata
    assert not edge_attr.flags.owndata
    assert not neighbors.flags.writeable


def test_days_find_their_month(graphs: MonthlyGraphs) -> None:
    _, dates, _, _ = make_market()
    source: NeighborSource = graphs.align(dates)
    assert source.k == 5
    served = source.month_of_day >= 0
    assert not served[dates < graphs.months[0].astype("datetime64[D]")].any()
    assert served[dates >= graphs.months[0].astype("datetime64[D]")].all()
    np.testing.assert_array_equal(graphs.months[source.month_of_day[served]], dates[served].astype("datetime64[M]"))
    np.testing.assert_array_equal(source.neighbors(2), graphs.neighbors(2))
    np.testing.assert_array_equal(source.edge_attr(2), graphs.edge_attr(2))


def test_days_beyond_the_last_month_have_no_graph(graphs: MonthlyGraphs) -> None:
    late = np.array(["2020-08-31", "2020-09-01"], dtype="datetime64[D]")
    assert graphs.align(late).month_of_day.tolist() == [len(graphs) - 1, -1]


def test_too_short_a_history_gives_no_graph(tmp_path: Path) -> None:
    market = make_market(days=20)
    graphs = build(tmp_path / "graphs.arrow", market, SMALL)
    assert len(graphs) == 0
    assert (graphs.align(market[1]).month_of_day == -1).all()


def test_pickles_as_its_path(graphs: MonthlyGraphs) -> None:
    assert len(pickle.dumps(graphs)) < 1000
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(graphs)).neighbors(0), graphs.neighbors(0))


def test_plain_arrow_reads_it(graphs: MonthlyGraphs) -> None:
    table = pa.ipc.open_file(graphs.path).read_all()
    assert table.column_names == ["month", "listing", "neighbors", "edge_attr"]
    assert table.num_rows == 24 * len(graphs)
    row = table.slice(24 + 3, 1).to_pylist()[0]
    assert row["month"] == dt.date(*map(int, f"{graphs.months[1]}-1".split("-")))
    assert row["listing"] == 3
    assert row["neighbors"] == graphs.neighbors(1)[3].tolist()


# torch_geometric itself calls torch.jit.script when it is imported.
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
def test_as_torch_geometric_data(graphs: MonthlyGraphs) -> None:
    data = graphs.to_pyg(1)
    neighbors, edge_attr = graphs.neighbors(1), graphs.edge_attr(1)
    assert data.num_nodes == 24
    assert data.num_edges == (neighbors >= 0).sum()
    assert data.validate()
    for (source, listing), attributes in zip(data.edge_index.T.tolist(), data.edge_attr.numpy(), strict=True):
        place = neighbors[listing].tolist().index(source)
        np.testing.assert_array_equal(attributes, edge_attr[listing, place])


def test_a_missing_cut_or_foreign_file_is_refused(graphs: MonthlyGraphs, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="kedro run --pipeline=graphs"):
        MonthlyGraphs.open(tmp_path / "none.arrow")
    cut = tmp_path / "cut.arrow"
    cut.write_bytes(graphs.path.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match="kedro run --pipeline=graphs"):
        MonthlyGraphs.open(cut)
    foreign = tmp_path / "foreign.arrow"
    table = pa.table({"a": [1]})
    with pa.ipc.new_file(foreign, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(ArtifactError, match="kedro run --pipeline=graphs"):
        MonthlyGraphs.open(foreign)
