from pathlib import Path

import numpy as np
import pytest

from atft_pipeline.graphs.config import GraphConfig
from atft_pipeline.graphs.report import edge_turnover, report_months
from tests.graphs.market import build, make_market


def test_turnover_counts_new_edges_among_common_listings() -> None:
    before = np.array([[1, 2], [0, -1], [0, 1], [-1, -1]], dtype=np.int32)
    after = np.array([[1, 3], [2, -1], [0, 1], [0, -1]], dtype=np.int32)
    # Comparable: 0-1 (kept), 1-2 (new), 2-0 and 2-1 (kept); edges of listing 3 are left out.
    assert edge_turnover(before, after) == pytest.approx(1 / 4)
    assert edge_turnover(before, before) == 0
    assert np.isnan(edge_turnover(None, after))
    assert np.isnan(edge_turnover(np.full_like(before, -1), after))


def test_numbers_of_a_month_equal_a_plain_count(tmp_path: Path) -> None:
    returns, dates, sector, segment = make_market()
    returns[:, 7] = np.nan
    graphs = build(tmp_path / "graphs.arrow", (returns, dates, sector, segment), GraphConfig(k=5, threshold=0.3))
    rows = report_months(graphs)
    assert [row.month for row in rows] == graphs.months.astype(str).tolist()
    neighbors, edge_attr = graphs.neighbors(1), graphs.edge_attr(1)
    edges = [(i, j, *edge_attr[i, p]) for i, row in enumerate(neighbors) for p, j in enumerate(row) if j >= 0]
    row = rows[1]
    assert (row.listings, row.edges) == (23, len(edges))
    assert row.mean_degree == pytest.approx(len(edges) / 23)
    assert row.max_in_degree == max(np.bincount([edge[1] for edge in edges]))
    assert row.isolated_fraction == pytest.approx(1 - len({edge[0] for edge in edges}) / 23)
    assert row.sector_homophily == pytest.approx(np.mean([sector[i] == sector[j] > 0 for i, j, *_ in edges]))
    assert row.market_homophily == pytest.approx(np.mean([segment[i] == segment[j] > 0 for i, j, *_ in edges]))
    assert row.negative_fraction == pytest.approx(np.mean([edge[2] < 0 for edge in edges]))
    assert row.mean_strength == pytest.approx(np.mean([abs(edge[2]) for edge in edges]))
    assert 0 < row.turnover < 1
    assert np.isnan(rows[0].turnover)


def test_a_month_without_edges_has_no_shares(tmp_path: Path) -> None:
    returns, dates, sector, segment = make_market(days=70)
    returns[:] = np.nan
    graphs = build(tmp_path / "graphs.arrow", (returns, dates, sector, segment), GraphConfig())
    row = report_months(graphs)[0]
    assert (row.listings, row.edges, row.max_in_degree) == (0, 0, 0)
    assert np.isnan(row.mean_degree)
    assert np.isnan(row.sector_homophily)
