"""Every script of ``benchmarks/`` runs, at the smallest size: a figure is worth what its script is."""

import importlib
import logging
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
# Options by script; ``PROJECT``, ``PANEL``, ``METRICS`` and ``PRICES`` stand for what a finished run left.
SMALLEST = {
    "compare": "PREDICTIONS PREDICTIONS",
    "evaluation": "--days 80 --listings 60",
    "features": "PRICES --child scale 1",
    "graphs": "PRICES --threads 1",
    "hpo": "--seeds 1 --trials 2 --epochs 2",
    "lightgbm": "PANEL --days 40 --neutral-to",
    "losses": "--listings 50 --repeats 1",
    "optimizers": "--size small",
    "paper": "",
    "panel": "--listings 40 --days 20 --features 4 --window 5",
    "predict": "--listings 60 --sessions 240 --repeats 1",
    "processes": "--scale tiny --steps 1 --repeats 1",
    "results": "METRICS",
    "scale": "PRICES --times 1 --every 8",
    "selection": "--samples 8 --features 3 --window 4 --hidden 8 --layers 1 --repeats 1",
    "spreads": "",
    "start": "PROJECT --repeats 1",
    "stand_in": "PANEL --features KMID* --years 2022 --epochs 1 --hidden 8",
    "training": "--listings 40 --days 30 --features 4 --window 5 --hidden 8 --batch 64 --repeats 1",
}
# Those that need what a machine without GPU, or an installation without Qlib, does not have; two have own tests.
ELSEWHERE = {"attention", "qlib_alpha158", "search_load", "start"}


def test_every_script_is_listed() -> None:
    assert {path.stem for path in (ROOT / "benchmarks").glob("*.py")} == {*SMALLEST, *ELSEWHERE}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLEST)
def test_a_script_runs_to_its_end(
    name: str, finished: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = finished[0] / "data"
    places = {
        "PROJECT": finished[0],
        "PANEL": next(data.glob("05_model_input/panel.arrow/*/panel.arrow")),
        "METRICS": next(data.glob("08_reporting/metrics.json/*/metrics.json")),
        "PREDICTIONS": next(data.glob("07_model_output/predictions.parquet/*/predictions.parquet")),
        "PRICES": next(ROOT.glob("data/01_raw/sample_market/prices.parquet/*/prices.parquet")),
    }
    words = [str(places.get(word, word)) for word in SMALLEST[name].split()]
    monkeypatch.setattr(sys, "argv", [name, *words])
    threads = torch.get_num_threads()
    try:
        importlib.import_module(f"benchmarks.{name}").main()
    finally:
        torch.set_num_threads(threads)
        # A script may quieten the log of its process, which here is that of all tests.
        logging.disable(logging.NOTSET)
    assert capsys.readouterr().out
