"""What is left of a skill where a trade can enter: by hand, and on a market whose only signal is bid-ask bounce."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from atft_pipeline.errors import DataError
from atft_pipeline.evaluation.config import EvaluationConfig
from atft_pipeline.evaluation.evaluate import Extras, evaluate
from atft_pipeline.evaluation.grid import Grid
from atft_pipeline.evaluation.market import market_of
from atft_pipeline.evaluation.portfolio.config import PortfolioConfig
from atft_pipeline.reporting.conclusions import Conclusion, conclusions
from atft_pipeline.reporting.evaluation_table import results_table
from atft_pipeline.stats.rank_ic import rank_ic
from tests.panel.market import business_days

SESSIONS, LISTINGS = 260, 60
NAMES = tuple(f"L{n:02d}" for n in range(LISTINGS))
SETTINGS = EvaluationConfig(top_k=10, universe=30)


def market(bounce: float = 0.0, skill: float = 0.0, seed: int = 0) -> tuple[pl.DataFrame, dict[str, np.ndarray]]:
    """Prices around a middle that walks at random, traded at bid or ask; and the planted drift of each session.

    Args:
        bounce: half of the spread, a fraction of the price.
        skill: drift that is known a session before, in standard deviations of a return.
        seed: of everything.
    """
    rng = np.random.default_rng(seed)
    shape = SESSIONS, LISTINGS
    drift = rng.standard_normal(shape)
    # Drifts last: what is known today also says something of the next days.
    for day in range(1, SESSIONS):
        drift[day] = 0.9 * drift[day - 1] + np.sqrt(1 - 0.9**2) * drift[day]
    known = np.vstack([np.zeros(LISTINGS), drift[:-1]])
    change = 0.01 * (rng.standard_normal(shape) + skill * known)
    middle = 50 * np.exp(np.cumsum(change, axis=0))
    overnight = np.vstack([middle[:1], middle[:-1]]) * np.exp(0.3 * change)
    side = {name: rng.choice([-1.0, 1.0], shape) for name in ("Open", "Close")}
    laid = {"Open": overnight * (1 + bounce * side["Open"]), "Close": middle * (1 + bounce * side["Close"])}
    ends = np.stack([overnight, middle])
    shadow = np.exp(0.002 * np.abs(rng.standard_normal((2, *shape))))
    laid["High"] = ends.max(axis=0) * (1 + bounce) * shadow[0]
    laid["Low"] = ends.min(axis=0) * (1 - bounce) / shadow[1]
    frame = pl.DataFrame(
        {"Date": np.repeat(business_days(SESSIONS), LISTINGS), "Listing": list(NAMES) * SESSIONS}
        | {name: values.ravel() for name, values in laid.items()}
        | {"Volume": rng.uniform(1e4, 1e6, SESSIONS * LISTINGS)}
    )
    return frame, laid | {"side": side["Close"], "drift": drift}


def scored(scores: np.ndarray, close: np.ndarray, first: int = 60, horizon: int = 1) -> pl.DataFrame:
    """A prediction table of all sessions from ``first`` on; ridge is noise."""
    ahead = np.full(close.shape, np.nan)
    ahead[:-horizon] = close[horizon:] / close[:-horizon] - 1
    noise = np.random.default_rng(9).standard_normal(close.shape)
    rows = {f"score_{horizon}": scores, f"return_{horizon}": ahead, f"ridge_{horizon}": noise}
    columns = {name: pl.Series(values[first:].ravel()).fill_nan(None) for name, values in rows.items()}
    days = business_days(SESSIONS)[first:]
    return pl.DataFrame({"Date": np.repeat(days, LISTINGS), "Listing": list(NAMES) * len(days)} | columns)


def measured(
    prices: pl.DataFrame, table: pl.DataFrame, settings: EvaluationConfig = SETTINGS, label: str = "close_to_close"
) -> dict[str, Any]:
    grid = Grid.of(table)
    extras = Extras(market=market_of(prices, grid.days, grid.listings, 5), label=label)
    return evaluate(table, settings, extras).metrics


def executed(execution: str) -> EvaluationConfig:
    return replace(SETTINGS, portfolios=PortfolioConfig(execution=execution))  # type: ignore[arg-type]


def beginning(metrics: dict[str, Any], start: str) -> Conclusion:
    return next(conclusion for conclusion in conclusions(metrics) if start in conclusion.text)


def test_returns_by_hand_count_sessions_of_the_market() -> None:
    prices, laid = market()
    days = business_days(SESSIONS)
    # L03 does not trade on sessions 101 and 104: no label begins or ends there, and none is stretched over it.
    halted = prices.filter(~((pl.col("Listing") == "L03") & pl.col("Date").is_in([days[101].item(), days[104].item()])))
    found = market_of(halted, days[100:], NAMES, 3)
    assert found is not None
    rows = np.arange(SESSIONS - 100)
    opens, close = laid["Open"], laid["Close"]
    by_hand = {
        "close_to_close": close[103] / close[100] - 1,
        "open_to_open": opens[104] / opens[101] - 1,
        "session_skipped": close[104] / close[101] - 1,
    }
    for timing, expected in by_hand.items():
        returns = found.returns(timing, 3, rows)  # type: ignore[arg-type]
        kept = np.arange(LISTINGS) != 3
        np.testing.assert_allclose(returns[0, kept], expected[kept])
    absent = {"close_to_close": {1, 4}, "open_to_open": {0, 3}, "session_skipped": {0, 3}}
    for timing, rows_of in absent.items():
        returns = found.returns(timing, 3, rows)[:, 3]  # type: ignore[arg-type]
        begins_or_ends = rows_of | {row - 3 for row in rows_of if row >= 3}
        assert set(np.flatnonzero(np.isnan(returns[:100]))) == begins_or_ends
    # The last sessions have no end yet: one less each for a session of waiting.
    for timing, missing in (("close_to_close", 3), ("open_to_open", 4), ("session_skipped", 4)):
        returns = found.returns(timing, 3, rows)[:, 0]  # type: ignore[arg-type]
        assert np.isnan(returns[-missing:]).all()
        assert np.isfinite(returns[:-missing]).all()


def test_rank_ic_of_each_timing_is_that_of_its_returns() -> None:
    prices, laid = market(skill=0.3)
    table = scored(laid["drift"], laid["Close"])
    metrics = measured(prices, table)
    timings = metrics["horizons"]["1"]["timings"]
    opens, close, scores = laid["Open"], laid["Close"], laid["drift"]
    returns = {
        "close_to_close": close[61:] / close[60:-1] - 1,
        "open_to_open": opens[62:] / opens[61:-1] - 1,
        "session_skipped": close[62:] / close[61:-1] - 1,
    }
    for timing, expected in returns.items():
        daily = rank_ic(scores[60 : 60 + len(expected)], expected)
        row = timings[timing]["all"]["scores"]["model"]
        assert row["mean"] == pytest.approx(daily.mean())
        assert row["n_days"] == len(expected)
        other = timings[timing]["all"]["paired"]["ridge"]
        assert other["rank_ic_difference"] == pytest.approx(
            row["mean"] - timings[timing]["all"]["scores"]["ridge"]["mean"]
        )
    assert timings["close_to_close"]["all"]["scores"]["model"] == pytest.approx(
        metrics["horizons"]["1"]["scores"]["model"]["rank_ic"]
    )
    daily = {timing: rank_ic(scores[60 : 60 + len(expected)], expected) for timing, expected in returns.items()}
    share = timings["open_to_open"]["all"]["share_left"]["value"]
    assert share == pytest.approx(daily["open_to_open"].mean() / daily["close_to_close"][:-1].mean())


def test_the_most_traded_are_those_of_the_day() -> None:
    """Half of the listings trade a hundred times as much and have the skill; among them the RankIC is that of them."""
    prices, laid = market(skill=0.3)
    large = np.arange(LISTINGS) < 30
    prices = prices.with_columns(
        pl.when(pl.col("Listing") < "L30").then(pl.lit(1e8)).otherwise(pl.lit(1e4)).alias("Volume")
    )
    table = scored(laid["drift"], laid["Close"])
    found = measured(prices, table)["horizons"]["1"]["timings"]["open_to_open"]["most_traded"]["scores"]["model"]
    opens = laid["Open"]
    expected = rank_ic(laid["drift"][60:-2, large], (opens[62:] / opens[61:-1] - 1)[:, large])
    assert found["mean"] == pytest.approx(expected.mean())


def test_pure_bounce_is_gone_at_the_next_open_and_earns_nothing() -> None:
    """A close at the ask falls back: the scores know the side, which no later price remembers."""
    prices, laid = market(bounce=0.005)
    table = scored(-laid["side"] + 0.1 * laid["drift"], laid["Close"])
    metrics = measured(prices, table)
    model = {timing: part["all"]["scores"]["model"] for timing, part in metrics["horizons"]["1"]["timings"].items()}
    assert model["close_to_close"]["mean"] > 0.25
    assert abs(model["open_to_open"]["mean"]) < 3 * model["open_to_open"]["se"]
    assert abs(model["session_skipped"]["mean"]) < 3 * model["session_skipped"]["se"]
    left = beginning(metrics, "of its RankIC")
    assert left.level == "bad"
    assert "The skill is gone before anybody can trade on it." in left.text
    money = beginning(metrics, "its long-short deciles, entered at the next open,")
    assert money.level != "good"
    assert not any(c.level == "good" for c in conclusions(metrics) if "Sharpe" in c.text)
    # The same at the close that the scores are made of looks like a fortune: called implausible.
    closing = measured(prices, table, executed("close_to_close"))
    there, here = (part["horizons"]["1"]["portfolios"]["long_short"]["model"] for part in (closing, metrics))
    assert there["gross"]["sharpe"]["value"] > 10
    assert there["sharpe_at_close"] is None
    # The same trades there stand beside those that can be made.
    assert here["sharpe_at_close"] == pytest.approx(there["net"]["sharpe"])
    assert f"At the close of the scores it would be {there['net']['sharpe']['value']:.2f}" in money.text


def test_a_skill_that_lasts_is_left() -> None:
    prices, laid = market(skill=0.3)
    metrics = measured(prices, scored(laid["drift"], laid["Close"]))
    left = beginning(metrics, "of its RankIC")
    assert left.level == "good"
    assert "is left open to open (" in left.text
    assert "is left with a session skipped (" in left.text
    assert "Among the 30 most traded it is" in left.text
    there = beginning(metrics, "At 1 session, open to open, the model beats ridge by")
    assert there.level == "good"
    text = results_table(metrics)
    assert "close to close" in text
    assert "…" not in text


def test_a_skill_of_which_less_than_half_is_left_is_a_warning() -> None:
    prices, laid = market(bounce=0.008, skill=0.1)
    metrics = measured(prices, scored(laid["drift"] - 2 * laid["side"], laid["Close"]))
    left = beginning(metrics, "of its RankIC")
    assert metrics["horizons"]["1"]["timings"]["open_to_open"]["all"]["share_left"]["value"] < 0.5
    assert left.level == "warning"


def test_a_high_sharpe_ratio_is_implausible_until_it_is_shown_where_one_can_trade() -> None:
    prices, laid = market(skill=0.5)
    table = scored(laid["drift"], laid["Close"])
    start = "its long-short deciles"

    def money(prices: pl.DataFrame, execution: str) -> Conclusion:
        metrics = measured(prices, table, executed(execution))
        assert metrics["horizons"]["1"]["portfolios"]["long_short"]["model"]["net"]["sharpe"]["value"] > 5
        return beginning(metrics, start)

    closing, opening = money(prices, "close_to_close"), money(prices, "open_to_open")
    skipped = money(prices.drop("High", "Low"), "session_skipped")
    assert opening.level == "good"
    assert "after costs of half a spread, " in opening.text
    assert "implausible" not in opening.text
    for found in (closing, skipped):
        assert found.level == "warning"
        assert "above 5 after costs is implausible until it is shown at the next open with estimated" in found.text
    assert "which nobody can trade at" in closing.text
    assert "spreads are not known" in skipped.text
    without = evaluate(table, SETTINGS).metrics
    assert beginning(without, start).level == "warning"
    assert "no prices are known" in beginning(without, "it is not known what of its skill is left").text
    for metrics in (without, measured(prices.drop("High", "Low"), table)):
        chance = beginning(metrics, "The probability that its true Sharpe ratio")
        assert chance.level == "open"


def test_closes_alone_skip_a_session() -> None:
    prices, laid = market(skill=0.3)
    table = scored(laid["drift"], laid["Close"])
    alone = prices.with_columns(pl.lit(None, pl.Float64).alias(name) for name in ("Open", "High", "Low", "Volume"))
    metrics = measured(alone, table)
    assert metrics["trading"] == {
        "execution": "session_skipped",
        "no_opens": "the prices have no Open",
        "most_traded": 30,
        "half_spread_bp": None,
    }
    timings = metrics["horizons"]["1"]["timings"]
    assert timings["open_to_open"] == {"left_out": "the prices have no Open"}
    assert "most_traded" not in timings["session_skipped"]
    assert "Open to open is not known: the prices have no Open." in beginning(metrics, "of its RankIC").text
    assert "(the prices have no Open)" in beginning(metrics, "its long-short deciles, entered with a session").text
    assert "capacity" not in metrics["horizons"]["1"]["portfolios"]["long_short"]["model"]
    columns = alone.drop("Open", "High", "Low", "Volume")
    assert measured(columns, table)["trading"] == metrics["trading"]
    with pytest.raises(DataError, match="execution=open_to_open: the prices have no Open; use auto or session_skipped"):
        measured(alone, table, executed("open_to_open"))


def test_opens_that_repeat_the_close_before_are_no_opens() -> None:
    prices, laid = market()
    repeated = prices.with_columns(Open=pl.col("Close").shift(1).over("Listing").fill_null(pl.col("Open")))
    metrics = measured(repeated, scored(laid["drift"], laid["Close"]))
    assert metrics["trading"]["execution"] == "session_skipped"
    assert metrics["trading"]["no_opens"] == "Open mostly repeats the Close of the session before"


def test_a_wide_spread_costs_more_than_cost_bp() -> None:
    """The same scores in a market of wide spreads: a trade costs the half spread, never less than ``cost_bp``."""
    paid = {}
    for bounce in (0.0, 0.01):
        prices, laid = market(bounce=bounce)
        metrics = measured(prices, scored(laid["drift"], laid["Close"]))
        paid[bounce] = metrics["horizons"]["1"]["portfolios"]["long_short"]["model"]["cost_bp"]["value"]
        assert metrics["trading"]["half_spread_bp"]["mean"] >= 0
    assert paid[0.0] >= 5
    assert 60 < paid[0.01] < 140


def test_open_to_open_labels_are_their_own_timing() -> None:
    """The table's returns are those of its labels; the other timings come from the prices."""
    prices, laid = market(skill=0.3)
    opens = laid["Open"]
    ahead = np.full(opens.shape, np.nan)
    ahead[:-2] = opens[2:] / opens[1:-1] - 1
    table = scored(laid["drift"], laid["Close"]).with_columns(return_1=pl.Series(ahead[60:].ravel()).fill_nan(None))
    timings = measured(prices, table, label="open_to_open")["horizons"]["1"]["timings"]
    plain = measured(prices, scored(laid["drift"], laid["Close"]))["horizons"]["1"]["timings"]
    for timing in ("close_to_close", "open_to_open"):
        mean = timings[timing]["all"]["scores"]["model"]["mean"]
        assert mean == pytest.approx(plain[timing]["all"]["scores"]["model"]["mean"])
