"""Blocks on a Dask cluster of two processes: the same bytes as without it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from atft_pipeline.blocks import ClusterConfig, each_block
from atft_pipeline.errors import UnavailableError
from atft_pipeline.features import build
from atft_pipeline.features.build import build_features
from atft_pipeline.features.columns import FeaturesConfig
from atft_pipeline.graphs.build import build_graphs
from atft_pipeline.graphs.config import GraphConfig


def scaled(factor: int, block: int) -> int:
    if block == 7:
        msg = "seven"
        raise ValueError(msg)
    return factor * block


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterConfig]:
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as made:
        yield ClusterConfig(scheduler=made.scheduler_address)


def prices(days: int = 130, listings: int = 12) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    dates = np.arange(np.datetime64("2020-01-01"), np.datetime64("2021-01-01"))
    dates = dates[np.is_busday(dates)][:days]
    close = 100 * np.exp(np.cumsum(0.02 * rng.standard_normal((listings, days)), axis=1))
    frames = [
        pl.DataFrame(
            {
                "Date": pl.Series(dates).cast(pl.Date),
                "Listing": [f"L{number:02d}"] * days,
                "Open": close[number] * 0.99,
                "High": close[number] * 1.01,
                "Low": close[number] * 0.98,
                "Close": close[number],
                "Volume": 1e6 * rng.random(days) + 1e5,
                "InUniverse": [True] * days,
            }
        )
        for number in range(listings)
    ]
    return pl.concat(frames)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_here_blocks_run_one_by_one_in_order() -> None:
    found = each_block(scaled, 2, [3, 1, 7], ClusterConfig())
    assert [next(found), next(found)] == [6, 2]
    with pytest.raises(ValueError, match="seven"):
        next(found)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_of_two_processes_makes_the_same_bytes(
    cluster: ClusterConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(each_block(scaled, 3, [*range(6), *range(8, 20)], cluster)) == [
        3 * n for n in range(20) if n not in (6, 7)
    ]
    with pytest.raises(ValueError, match="seven"):
        list(each_block(scaled, 3, [7], cluster))
    # A span a month, so that both processes have some.
    monkeypatch.setattr(build, "SPAN_ROWS", 1)
    config = FeaturesConfig(horizons=(1, 5))
    for name, where in (("here", ClusterConfig()), ("there", cluster)):
        build_features(prices(), None, config, tmp_path / name, cluster=where)
    assert len(contents(tmp_path / "here")) == 7
    assert contents(tmp_path / "here") == contents(tmp_path / "there")
    returns = 0.02 * np.random.default_rng(0).standard_normal((130, 12)).astype(np.float32)
    dates = np.datetime64("2020-01-01") + np.arange(130)
    names, zeros = tuple(f"L{n:02d}" for n in range(12)), np.zeros(12, dtype=np.int64)
    graphs = GraphConfig(k=3, window=30, min_observations=20, min_sector_neighbours=0)
    for name, where in (("here", ClusterConfig()), ("there", cluster)):
        out = tmp_path / f"{name}.arrow"
        build_graphs(returns, dates, names, zeros, zeros, graphs, "index", out, {}, cluster=where)
    assert (tmp_path / "here.arrow").read_bytes() == (tmp_path / "there.arrow").read_bytes()


@pytest.mark.filterwarnings("ignore")
def test_a_scheduler_that_is_away_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from atft_pipeline import blocks

    monkeypatch.setattr(blocks, "CONNECT", "100ms")
    with pytest.raises(
        UnavailableError, match=r"cluster\.scheduler: no Dask scheduler answers at tcp://127\.0\.0\.1:9;"
    ):
        list(each_block(scaled, 1, [1], ClusterConfig(scheduler="tcp://127.0.0.1:9")))
