from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch

from atft_pipeline.errors import ArtifactError, DataError, UnavailableError
from atft_pipeline.graphs import build as module
from atft_pipeline.graphs.build import build_graphs, pick_device, plan_months
from atft_pipeline.graphs.config import GraphConfig
from atft_pipeline.graphs.graphs import MonthlyGraphs
from tests.graphs.market import build, make_market, names, plain_correlations, plain_neighbors

SMALL = GraphConfig(k=5, min_sector_neighbours=2)


@pytest.fixture(autouse=True)
def several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The few listings of these tests are worked on in several blocks."""
    monkeypatch.setattr("atft_pipeline.graphs.build.BLOCK", 7)


def batch_bytes(graphs: MonthlyGraphs, month: int) -> bytes:
    return graphs.batch(month).serialize().to_pybytes()


@pytest.mark.parametrize("demean", ["market", "sector"])
@pytest.mark.parametrize("threshold", [0.2, 0.4])
def test_every_month_equals_the_plain_computation(tmp_path: Path, demean: str, threshold: float) -> None:
    market = make_market()
    returns, dates, sector, segment = market
    config = GraphConfig(k=5, min_sector_neighbours=2, demean=demean, threshold=threshold)  # type: ignore[arg-type]
    graphs = build(tmp_path / "graphs.arrow", market, config)
    assert len(graphs) == 6
    for number, month in enumerate(graphs.months):
        window = returns[dates < month.astype("datetime64[D]")][-config.window :]
        correlation = plain_correlations(window, sector, config)
        neighbors = plain_neighbors(correlation, sector, config)
        found, edge_attr = graphs.neighbors(number), graphs.edge_attr(number)
        np.testing.assert_array_equal(found, neighbors)
        row, place = np.nonzero(neighbors >= 0)
        other = neighbors[row, place]
        expected = np.zeros_like(edge_attr)
        expected[row, place, 0] = correlation[row, other]
        expected[row, place, 1] = (sector[row] == sector[other]) & (sector[row] > 0)
        expected[row, place, 2] = (segment[row] == segment[other]) & (segment[row] > 0)
        np.testing.assert_allclose(edge_attr, expected, atol=1e-5)


def test_months_with_days_and_the_next_are_served_once_there_is_history() -> None:
    dates = np.arange("2020-01-15", "2020-04-11", dtype="datetime64[D]")
    dates = dates[dates.astype("datetime64[M]") != np.datetime64("2020-03")]
    plan = plan_months(dates, GraphConfig(window=30, min_observations=20))
    assert [str(month) for month, _, _ in plan] == ["2020-04", "2020-05"]
    assert [(start, stop) for _, start, stop in plan] == [(16, 46), (26, 56)]
    assert plan_months(dates[:0], GraphConfig()) == []


def test_a_scrambled_future_changes_no_bit(tmp_path: Path) -> None:
    returns, dates, sector, segment = make_market()
    before = build(tmp_path / "before.arrow", (returns, dates, sector, segment), SMALL)
    for number in range(len(before)):
        future = dates >= before.months[number].astype("datetime64[D]")
        scrambled = returns.copy()
        scrambled[future] = np.random.default_rng(1).normal(0, 1, scrambled[future].shape)
        after = build(tmp_path / f"{number}.arrow", (scrambled, dates, sector, segment), SMALL)
        assert batch_bytes(after, number) == batch_bytes(before, number)
        if number + 1 < len(before):
            assert batch_bytes(after, number + 1) != batch_bytes(before, number + 1)


def test_new_delisted_and_short_listings(tmp_path: Path) -> None:
    returns, dates, sector, segment = make_market(gaps=0.0)
    months = dates.astype("datetime64[M]").astype(str)
    returns[months < "2020-04", 0] = np.nan  # listed in April
    returns[months > "2020-03", 1] = np.nan  # delisted after March
    returns[29:, 2] = np.nan  # one observation too few, ever
    returns[:, 3] = 0  # a price that never moves
    graphs = build(tmp_path / "graphs.arrow", (returns, dates, sector, segment), SMALL)
    connected = {str(month): (graphs.neighbors(m)[:4] >= 0).any(axis=1) for m, month in enumerate(graphs.months)}
    wanted = {str(month): np.isin([0, 1, 2, 3], graphs.neighbors(m)) for m, month in enumerate(graphs.months)}
    assert [month for month, flags in connected.items() if flags[0]] == ["2020-06", "2020-07", "2020-08"]
    assert [month for month, flags in connected.items() if flags[1]] == ["2020-03", "2020-04", "2020-05"]
    for month, flags in connected.items():
        assert not flags[2:].any()
        assert not (wanted[month] & ~flags).any()
    for number in range(len(graphs)):
        assert not graphs.edge_attr(number)[graphs.neighbors(number) < 0].any()


def test_a_listing_whose_correlations_are_weak_is_isolated(tmp_path: Path) -> None:
    returns, dates, sector, segment = make_market(gaps=0.0)
    returns[:, 5] = np.random.default_rng(3).normal(0, 0.01, len(dates))
    sector[5] = 0
    graphs = build(tmp_path / "graphs.arrow", (returns, dates, sector, segment), GraphConfig(k=5, threshold=0.5))
    assert (graphs.neighbors(2)[5] == -1).all()
    assert (graphs.neighbors(2)[6] >= 0).any()


def test_a_market_without_listings_that_take_part(tmp_path: Path) -> None:
    returns, dates, sector, segment = make_market(listings=3)
    returns[:] = np.nan
    graphs = build(tmp_path / "graphs.arrow", (returns, dates, sector, segment), SMALL)
    assert (graphs.neighbors(0) == -1).all()


def test_a_new_month_leaves_the_earlier_ones_untouched(tmp_path: Path) -> None:
    returns, dates, sector, segment = make_market(days=170, listings=26)
    returns[:140, 24:] = np.nan  # two listings appear late, so the earlier panel does not know them
    short = (returns[:150, :24], dates[:150], sector[:24], segment[:24])
    earlier = build(tmp_path / "earlier.arrow", short, SMALL)
    with patch.object(module, "connect", wraps=module.connect) as connect:
        longer = build(
            tmp_path / "longer.arrow", (returns, dates, sector, segment), SMALL, previous=tmp_path / "earlier.arrow"
        )
    fresh = build(tmp_path / "fresh.arrow", (returns, dates, sector, segment), SMALL)
    # The last month of the earlier graphs was served before its window was complete.
    assert str(dates[149])[:7] == str(earlier.months[-1] - 1)
    assert connect.call_count == len(longer) - (len(earlier) - 1) == 2
    for number in range(len(earlier) - 1):
        assert batch_bytes(longer, number) == batch_bytes(earlier, number)
    assert longer.meta == fresh.meta
    for number in range(len(fresh)):
        np.testing.assert_array_equal(longer.neighbors(number), fresh.neighbors(number))
        np.testing.assert_array_equal(longer.edge_attr(number), fresh.edge_attr(number))


def test_only_months_whose_returns_were_revised_are_computed_again(tmp_path: Path) -> None:
    returns, dates, sector, segment = make_market(gaps=0.0)
    earlier = build(tmp_path / "earlier.arrow", (returns, dates, sector, segment), SMALL)
    returns[-60, 3] += 0.01
    with patch.object(module, "connect", wraps=module.connect) as connect:
        build(tmp_path / "later.arrow", (returns, dates, sector, segment), SMALL, previous=earlier.path)
    touched = [entry for entry in earlier.meta.months if entry.first <= str(dates[-60]) <= entry.last]
    assert connect.call_count == len(touched) == 3


@pytest.mark.parametrize("config", [GraphConfig(k=5, threshold=0.3), GraphConfig(k=6)])
def test_other_parameters_reuse_nothing(tmp_path: Path, config: GraphConfig) -> None:
    market = make_market()
    earlier = build(tmp_path / "earlier.arrow", market, GraphConfig(k=5))
    later = build(tmp_path / "later.arrow", market, config, previous=earlier.path)
    fresh = build(tmp_path / "fresh.arrow", market, config)
    assert later.path.read_bytes() == fresh.path.read_bytes()
    assert later.meta.fingerprint != earlier.meta.fingerprint


def test_where_the_work_is_done_does_not_change_the_fingerprint(tmp_path: Path) -> None:
    market = make_market(days=70)
    one = build(tmp_path / "one.arrow", market, GraphConfig(device="cpu"))
    other = build(tmp_path / "other.arrow", market, GraphConfig())
    assert one.meta.fingerprint == other.meta.fingerprint


def test_a_file_is_not_extended_in_place(tmp_path: Path) -> None:
    market = make_market(days=70)
    graphs = build(tmp_path / "graphs.arrow", market, SMALL)
    with pytest.raises(ArtifactError, match="in place"):
        build(graphs.path, market, SMALL, previous=graphs.path)


def test_wrong_shapes_and_dates_are_refused(tmp_path: Path) -> None:
    returns, dates, sector, segment = make_market(days=70)
    axes = (names(24), sector, segment, SMALL, "index", tmp_path / "graphs.arrow", {})
    with pytest.raises(DataError, match=r"returns has shape \(69, 24\), need \(70, 24\)"):
        build_graphs(returns[1:], dates, *axes)
    with pytest.raises(DataError, match="dates must ascend"):
        build_graphs(returns, dates[::-1], *axes)


def test_cuda_is_not_replaced_silently() -> None:
    with patch.object(torch.cuda, "is_available", return_value=False):
        assert pick_device("auto") == torch.device("cpu")
        with pytest.raises(UnavailableError, match=r"graphs\.device is cuda"):
            pick_device("cuda")
