import numpy as np
import polars as pl
import pytest

from atft_pipeline.features import extras
from atft_pipeline.features.blocks import ListingBlock, listing_blocks, price_axis
from tests.prices.frames import clean_frame


def computed(frame: pl.DataFrame) -> tuple[dict[str, np.ndarray], ListingBlock, np.ndarray]:
    axis = price_axis(frame)
    with np.errstate(all="ignore"):
        market = extras.day_series(axis).mean
        block = next(listing_blocks(axis, market, 10**6, extras.HISTORY, range(len(axis.dates))))()
        out: dict[str, np.ndarray] = {}
        extras.emit_extras(block, out.__setitem__)
    return out, block, market


def test_listing_features_by_hand() -> None:
    frame = clean_frame(listings=3, sessions=300, absent=0.0)
    found, block, _ = computed(frame)
    assert set(found) == set(extras.LISTING)
    t, j = 299, 1
    o, h, c, v = (x[:, j] for x in (block.open, block.high, block.close, block.volume))
    r = np.append(np.nan, c[1:] / c[:-1] - 1)
    m = block.market_return[:, j]
    last60, last20 = slice(t - 59, t + 1), slice(t - 19, t + 1)
    slope, intercept = np.polyfit(m[last60], r[last60], 1)
    left = r[last60] - slope * m[last60] - intercept
    with np.errstate(divide="ignore"):
        impact = np.abs(r[last20]) / (c[last20] * v[last20])
    wanted = {
        "RET5": c[t] / c[t - 5] - 1,
        "MOM252": c[t - 20] / c[t - 252] - 1,
        "RV20": r[last20].std(ddof=1),
        "MAXRET20": r[last20].max(),
        extras.BETA: slope,
        "IVOL60": np.sqrt((left**2).sum() / 58),
        "AMIHUD20": np.log(impact[np.isfinite(impact)].mean()),
        "HIGH252": c[t] / h[t - 251 : t + 1].max() - 1,
        "OVERNIGHT1": o[t] / c[t - 1] - 1,
        "INTRADAY20": (c / o - 1)[last20].mean(),
        "TURN60": np.log((v[t] + 1) / (v[last60].mean() + 1)),
        "ZEROVOL20": (v[last20] == 0).mean(),
    }
    for name, value in wanted.items():
        assert found[name][t, j] == pytest.approx(value, rel=1e-8), name


def test_day_series_by_hand() -> None:
    frame = clean_frame(listings=8, sessions=30)
    axis = price_axis(frame)
    series = extras.day_series(axis)
    change = (pl.col("Close") / pl.col("Close").shift(1).over("Listing") - 1).clip(-0.5, 0.5)
    by_day = (
        frame.sort("Listing", "Date")
        .with_columns(r=change)
        .filter(pl.col("InUniverse") & pl.col("r").is_not_null())
        .group_by("Date")
        .agg(mean=pl.col("r").mean(), breadth=pl.col("r").sign().mean(), spread=pl.col("r").std(ddof=0))
        .sort("Date")
    )
    np.testing.assert_allclose(series.mean[1:], by_day["mean"], rtol=1e-12)
    np.testing.assert_allclose(series.breadth[1:], by_day["breadth"], rtol=1e-12)
    np.testing.assert_allclose(series.dispersion[1:], by_day["spread"], rtol=1e-9)
    assert np.isnan(series.mean[0])


def test_common_variance_is_the_correlation_of_an_equally_correlated_market() -> None:
    rng = np.random.default_rng(0)
    rho, size = 0.3, (20_000, 200)
    returns = 0.02 * (np.sqrt(rho) * rng.normal(size=(size[0], 1)) + np.sqrt(1 - rho) * rng.normal(size=size))
    fraction = extras.common_variance(returns.mean(axis=1).std(), (returns.std(axis=1) ** 2).mean())
    assert fraction == pytest.approx(rho, abs=0.01)


def test_causal_score_forgets_and_does_not_look_ahead() -> None:
    values = np.random.default_rng(0).normal(size=400)
    score = extras.causal_score(values, 3.0)
    t = 320
    past = values[t - 251 : t + 1]
    assert score[t] == pytest.approx((values[t] - past.mean()) / past.std(ddof=1))
    assert not score[: extras.SCALE_LEAST - 1].any()
    changed = values.copy()
    changed[t + 1 :] = 99.0
    np.testing.assert_array_equal(extras.causal_score(changed, 3.0)[: t + 1], score[: t + 1])
    np.testing.assert_array_equal(extras.causal_score(values[t - 251 :], 3.0)[251:], score[t:])


def test_calendar_turns_once_a_week_and_a_year() -> None:
    dates = np.array(["2024-01-01", "2024-01-08", "2024-01-31"], dtype="datetime64[D]")
    found = extras.calendar_columns(dates)
    assert tuple(found) == extras.CALENDAR
    assert found["WEEKDAY_SIN"][0] == pytest.approx(0.0, abs=1e-12)  # a Monday
    assert found["WEEKDAY_COS"][0] == found["WEEKDAY_COS"][1] == pytest.approx(1.0)
    assert found["YEARDAY_COS"][0] == pytest.approx(1.0)
    assert found["MONTHDAY"].tolist() == pytest.approx([-1.0, 7 / 15 - 1, 1.0])


def test_a_market_without_trade_has_no_price_impact() -> None:
    frame = clean_frame(listings=2, sessions=40, absent=0.0).with_columns(Volume=pl.lit(0.0))
    found, _, _ = computed(frame)
    assert np.isnan(found["AMIHUD20"]).all()
    assert (found["ZEROVOL20"] == 1.0).all()
