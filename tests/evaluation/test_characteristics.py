from pathlib import Path

import numpy as np
import polars as pl
import pytest

from atft_pipeline.errors import DataError
from atft_pipeline.evaluation.characteristics import Characteristics, characteristics_of
from atft_pipeline.evaluation.config import EvaluationConfig
from atft_pipeline.evaluation.evaluate import Extras, evaluate
from atft_pipeline.evaluation.grid import Grid
from atft_pipeline.panel.panel import Panel
from tests.evaluation.test_evaluate import predictions
from tests.panel.market import make_panel

NAMES = ("RET1", "MOM252", "BETAMKT60", "regime")


def panel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Panel:
    monkeypatch.setattr("tests.panel.market.FEATURES", NAMES)
    return make_panel(tmp_path, dtype="float32")


def scored(panel: Panel, days: list[int], names: list[str]) -> Grid:
    """Grid of a table that scored those listings on those days."""
    dates = panel.dates[days]
    return Grid.of(pl.DataFrame({"Date": np.repeat(dates, len(names)), "Listing": names * len(dates)}))


def test_every_value_is_the_panels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = panel(tmp_path, monkeypatch)
    days = [20, 21, 40]
    grid = scored(known, days, ["L01", "L03", "L05", "L07"])
    found = characteristics_of(known, grid)
    for day, index in enumerate(days):
        rows = known.day(index)
        for column, name in enumerate(grid.listings):
            row = np.flatnonzero(rows.listing == known.listings.index(name))
            for feature, values in found.values.items():
                cell = values[day, column]
                if row.size:
                    assert cell == rows.features[row[0], NAMES.index(feature)]
                else:
                    assert np.isnan(cell)
    np.testing.assert_array_equal(found.factors["reversal_1d"], -found.values["RET1"])
    assert list(found.styles) == ["beta", "momentum"]
    # L05 ends on day 30.
    assert np.isnan(found.values["RET1"][2, grid.listings.index("L05")])


def test_what_the_panel_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = panel(tmp_path, monkeypatch)
    found = characteristics_of(known, scored(known, [20], ["L01"]))
    assert found.absent == ["RET5", "IVOL60", "RV60", "MARKET_VOL20"]
    assert found.regime is None
    assert characteristics_of(known.select(["regime"]), scored(known, [20], ["L01"])).values == {}


def test_a_day_that_the_panel_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = panel(tmp_path, monkeypatch)
    with pytest.raises(DataError, match=f"no day {known.dates[59]}"):
        characteristics_of(known.between(0, 50), scored(known, [59], ["L01"]))


def test_the_report_says_what_is_left_out_and_measures_the_rest() -> None:
    table = predictions(days=60).with_columns(sector=pl.Series(["a", "b"] * 1800))
    rng = np.random.default_rng(0)
    known = Characteristics(
        {name: rng.standard_normal((60, 60)) for name in ("MOM252", "BETAMKT60", "RV60")}
        | {"MARKET_VOL20": np.repeat(np.arange(60.0)[:, None], 60, axis=1)}
    )
    full = evaluate(table, EvaluationConfig(), Extras(characteristics=known)).metrics
    part = full["horizons"]["1"]
    assert full["absent_features"] == ["RET1", "RET5", "IVOL60"]
    assert "momentum" in part["scores"]
    assert "reversal_1d" not in part["scores"]
    assert part["slices"]["style_neutral"]["styles"] == ["beta", "momentum"]
    assert [row["name"] for row in part["slices"]["regime"]] == ["calm", "middle", "stormy"]
    assert [row["model"]["n_days"] for row in part["slices"]["regime"]] == [20, 20, 20]
    assert len(part["slices"]["volatility"]) == 5
    assert "mean" in part["portfolios"]["beta_neutral"]["model"]["beta"]
    bare = evaluate(table, EvaluationConfig()).metrics["horizons"]["1"]
    assert bare["portfolios"]["beta_neutral"] == {"left_out": "the panel has no feature BETAMKT60"}
    assert "style_neutral" not in bare["slices"]
