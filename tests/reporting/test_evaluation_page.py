import re
from pathlib import Path

import polars as pl
import pytest

from atft_pipeline.config import to_mapping
from atft_pipeline.evaluation.evaluate import EvaluationConfig, evaluate
from atft_pipeline.reporting.cells import estimate, money
from atft_pipeline.reporting.evaluation_figures import all_figures
from atft_pipeline.reporting.evaluation_page import report_page
from atft_pipeline.reporting.evaluation_table import results_table
from tests.browser import open_page
from tests.evaluation.test_evaluate import predictions


def page(table: pl.DataFrame, **more: object) -> str:
    result = evaluate(table, EvaluationConfig())
    metrics = {**result.metrics, "run": {"id": "run-17"}, "config": to_mapping(EvaluationConfig())}
    return report_page(metrics, all_figures(result), **more)  # type: ignore[arg-type]


def test_conclusions_stand_first_and_the_run_last() -> None:
    text = page(predictions(skill=0.3))
    assert text.count("top decile new, %") == 1
    places = [text.index(f"<h2>{title}</h2>") for title in ("Conclusions", "Against the baselines", "RankIC by slice")]
    assert places == sorted(places)
    assert "the model beats ridge by" in text
    assert text.index("run-17") > places[-1]


def test_the_page_says_that_several_models_scored() -> None:
    result = evaluate(predictions(), EvaluationConfig())
    base = {**result.metrics, "config": to_mapping(EvaluationConfig())}
    for seeds, told in (([7], False), ([7, 8, 9], True)):
        text = report_page({**base, "run": {"id": "run-17", "seeds": seeds}}, all_figures(result))
        assert ("mean of those of 3 models, trained with the seeds 7, 8, 9" in " ".join(text.split())) is told


def test_page_needs_no_network() -> None:
    text = page(predictions())
    assert text.count("plotly.js v") == 1
    outside = re.sub(r"<script>.*?</script>", "", text, count=1, flags=re.S)
    assert set(re.findall(r"(?:src|href)\s*=\s*(..)", outside)) == {'"#'}
    assert "@import" not in outside
    assert "None" not in re.sub(r"<script.*?</script>", "", outside, flags=re.S)


def test_names_from_the_data_are_escaped() -> None:
    table = predictions().with_columns(pl.col("Listing").replace({"L05": "<b>L05</b>"}))
    outside = re.sub(r"<script.*?</script>", "", page(table), flags=re.S)
    assert "<b>L05</b>" not in outside


def test_explanation_is_shown_where_there_is_one() -> None:
    known = {"features": {"RET1": 0.2, "BETA": 0.1}, "lags": [0.1, 0.2, 0.7]}
    assert "What it looks at" in page(predictions(), explanation=known)
    assert "What it looks at" not in page(predictions())


def test_a_page_of_constant_scores_says_so() -> None:
    text = page(predictions().with_columns(score_1=pl.lit(1.0)))
    assert "RankIC is undefined" in text


def test_the_terminal_shows_all_of_the_headline_and_the_main_rows_of_the_rest() -> None:
    table = predictions().with_columns(score_5="score_1", return_5="return_1", ridge_5="ridge_1")
    lines = results_table(evaluate(table, EvaluationConfig()).metrics).splitlines()
    assert max(map(len, lines)) <= 120
    assert not any("…" in line for line in lines)
    first, second = (
        next(place for place, line in enumerate(lines) if line.split()[:2] == [horizon, "model"]) for horizon in "15"
    )
    rows = {horizon: [] for horizon in (1, 5)}
    for horizon, start in ((1, first), (5, second)):
        for line in lines[start:]:
            if not line.strip():
                break
            rows[horizon].append(line.removeprefix(f"{horizon:>8}").split()[0])
    assert rows == {1: ["model", "ridge", "oracle"], 5: ["model", "ridge", "model+ridge", "random"]}
    assert any("blending the model with ridge adds" in line for line in lines)
    assert any("long-short" in line for line in lines)


def test_cells() -> None:
    assert estimate({"mean": 0.01234, "se": 0.002}) == "0.0123 ± 0.0020"
    assert estimate({"value": -0.05, "low": -0.1, "high": -0.01}, 100, 1) == "-5.0 [-10.0 to -1.0]"
    assert estimate({"mean": None, "se": None}) == "–"
    assert estimate(None) == "–"
    assert money({"mean": 3.2e6, "se": 2e5}) == "3.2 ± 0.2 M"
    assert money({"mean": 4.5e4, "se": None}) == "45.0 k"


@pytest.mark.slow
def test_all_metrics_of_a_horizon_fit_a_window_of_1280_pixels(tmp_path: Path) -> None:
    text = page(predictions().with_columns(lightgbm_1=-pl.col("ridge_1")))
    assert "model+lightgbm" in text
    measure = (
        'const w=document.querySelector(".dense").parentNode;document.body.id=`${w.scrollWidth-w.clientWidth} over`'
    )
    path = tmp_path / "page.html"
    path.write_text(text.replace("</body>", f"<script>{measure}</script></body>"), encoding="utf-8")
    shown, _ = open_page(path.as_uri(), tmp_path / "browser", "--window-size=1280,900")
    assert '<body id="0 over">' in shown
