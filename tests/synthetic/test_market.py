import numpy as np
import polars as pl
import pytest

from atft_pipeline.errors import ConfigError
from atft_pipeline.synthetic.market import SampleMarket, SampleMarketConfig, SignalConfig, generate

SMALL = SampleMarketConfig(listings=60, sessions=200)
CLEAN = SampleMarketConfig(listings=100, sessions=400, noise=0.0)


@pytest.fixture(scope="module")
def market() -> SampleMarket:
    return generate(CLEAN)


def mean_rank_ic(market: SampleMarket, score: str, horizon: int = 1) -> tuple[float, float]:
    prices = market.prices.sort("Code", "Date").with_columns(
        future=pl.col("Close").shift(-horizon).over("Code") / pl.col("Close") - 1
    )
    daily = (
        prices.join(market.oracle, on=["Date", "Code"])
        .drop_nulls("future")
        .group_by("Date")
        .agg(pl.corr(score, "future", method="spearman").alias("ic"))["ic"]
    )
    return float(daily.mean()), float(daily.std()) / len(daily) ** 0.5


def test_same_seed_same_market_and_another_seed_another() -> None:
    first, second = generate(SMALL), generate(SMALL)
    assert first.prices.equals(second.prices)
    assert first.oracle.equals(second.oracle)
    other = generate(SampleMarketConfig(listings=60, sessions=200, seed=8))
    assert not first.prices.equals(other.prices)


def test_each_part_of_the_signal_predicts_and_the_sum_predicts_best(market: SampleMarket) -> None:
    total, _ = mean_rank_ic(market, "oracle_1")
    for part in ("own", "neighbour", "cycle"):
        mean, error = mean_rank_ic(market, f"oracle_{part}_1")
        assert mean > 5 * error
        assert total > mean


def test_without_signal_the_oracle_is_silent() -> None:
    market = generate(SampleMarketConfig(listings=60, sessions=200, signal=SignalConfig(own=0, neighbour=0, cycle=0)))
    assert market.oracle["oracle_1"].abs().max() == 0


def test_the_cycle_cannot_be_read_from_one_day(market: SampleMarket) -> None:
    """The day's range shows the cosine of the phase, the drift follows its sine."""
    ranges = market.prices.with_columns(range=(pl.col("High") / pl.col("Low")).log())
    joined = ranges.join(market.oracle, on=["Date", "Code"])
    assert abs(joined.select(pl.corr("range", "oracle_cycle_1")).item()) < 0.03


def test_listings_start_and_stop(market: SampleMarket) -> None:
    spans = market.prices.group_by("Code").agg(first=pl.col("Date").min(), last=pl.col("Date").max())
    assert spans["first"].n_unique() > 3
    assert spans["last"].n_unique() > 3


def test_returns_have_fat_tails(market: SampleMarket) -> None:
    close = market.prices.sort("Code", "Date")
    returns = close.select((pl.col("Close") / pl.col("Close").shift(1).over("Code")).log()).to_series().drop_nulls()
    standard = (returns - returns.mean()) / returns.std()
    assert float((standard**4).mean()) > 4


def test_noise_is_there() -> None:
    prices = generate(SampleMarketConfig()).prices
    assert (prices["Open"] == 0).any()
    assert (prices["High"] < prices["Low"]).any()
    assert prices.select("Date", "Code").is_duplicated().any()
    assert (prices["Date"].dt.weekday() == 6).any()
    moves = prices.sort("Code", "Date").select(pl.col("Close") / pl.col("Close").shift(1).over("Code")).to_series()
    assert (np.abs(moves.drop_nulls().to_numpy() - 1) > 0.4).any()


@pytest.mark.parametrize("change", [{"listings": 5}, {"sessions": 3}, {"noise": -1.0}])
def test_bad_sizes_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(change))):
        SampleMarketConfig(**change)
