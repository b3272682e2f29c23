"""Every command that the documentation names, as a user types it, in one project with a tiny market."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from kedro.validation.parameter_validator import ParameterValidator

from atft_pipeline.cli import check_selection, cli
from atft_pipeline.config_loader import ProjectConfigLoader
from atft_pipeline.pipeline_registry import register_pipelines
from atft_pipeline.settings import CONFIG_LOADER_ARGS
from tests import notebooks
from tests.commands import Kedro, commands_of, documented
from tests.project import ROOT, as_typed, make_project, newest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*register_new_resolver:UserWarning"),
    pytest.mark.filterwarnings("ignore:Option '--pipeline'"),
]

# Parts of commands: the command that they are a part of.
PARTS = {
    "--params ingest.universe.min_dollar_volume=0": "kedro run --pipeline=ingest",
    "--params evaluation.lightgbm.leaves=[7,15],training.epochs=2": "kedro run --pipeline=train",
    "--params evaluation.portfolios.execution=close_to_close": "kedro run --pipeline=evaluate --from-nodes=evaluate",
    "--params evaluation.trials=40": "kedro run --pipeline=evaluate --from-nodes=evaluate",
    "--params listings=<file>": "kedro run --pipeline=ingest",
    "--params targets.neutral_to=[]": "kedro run --env=production --pipeline=train",
    "--params runtime.devices=2": "kedro run --pipeline=train",
    "--params training.resume=false": "kedro run --pipeline=train",
    "--params prices=data/01_raw/sample_market/prices.parquet": "kedro run",
    "--params training.from_study=best": "kedro run --pipeline=train",
    "--params training.optimizer.lr=0.0005": "kedro run --pipeline=train",
    "--params ingest.prices.columns.Close=ITS_NAME": "kedro run --pipeline=ingest",
    "--params ingest.prices.time_zone=Asia/Tokyo": "kedro run --pipeline=ingest",
    "--params ingest.universe.min_price=0,ingest.universe.min_dollar_volume=0": "kedro run --pipeline=ingest",
    "--params prices=jquants,ingest.universe.min_price=50,ingest.universe.min_dollar_volume=50000000": "kedro run",
    "--params batches.batch_size=auto": "kedro run --pipeline=train",
    "--params residency.mode=mmap": "kedro run --pipeline=train",
    "--params model.checkpointing=true": "kedro run --pipeline=train",
    "--params runtime.compile=none": "kedro run --pipeline=train",
}
# What needs the developers' tools: `make -n` shows what would run. Benchmarks take real prices and minutes.
SHOWN = {"make demo": "kedro run", "make test": "-m pytest", "make docs": "mkdocs build"}
SERVERS = {
    "kedro viz",
    "kedro viz run",
    "kedro viz run --port=4242",
    "kedro viz build --include-previews",
}  # tests/test_viz.py
# A mistake on purpose: the documentation shows the line that it ends in.
REFUSED = {
    "kedro run --params training.epoch=3": "error: parameter training.epoch: unknown key; did you mean epochs?\n"
}
# Run one after the other on the tiny market. The other documented runs differ from these by their parameters alone,
# which are built for each of them.
RUN = [
    "kedro run --pipeline=sample_market",
    "kedro run",
    "kedro run --pipeline=hpo",
    "kedro run --pipeline=train --params training.from_study=best",
    "kedro run --pipeline=train",
    "kedro status",
    "kedro refresh",
    "kedro doctor",
    "kedro prune",
    "kedro prune --keep=1 --delete",
    "kedro lineage metrics",
    "kedro lineage model",
    "kedro registry list",
    "kedro --version",
]
# Commands that a Kedro user tries, although no page names them.
BESIDE = ["kedro catalog describe-datasets"]

TINY: dict[str, Any] = {
    "sample_market": {"listings": 30, "sessions": 240},
    "split": {"embargo": 0},
    "batches": {"window": 5, "batch_size": 256, "min_history": 3, "min_listings": 10},
    "model": {"width": 8},
    "training": {"epochs": 1},
    "evaluation": {
        "top_k": 5,
        "universe": 30,
        "lightgbm": {"leaves": [7], "learning_rates": [0.1], "rounds": 5},
        "portfolios": {"max_weight": 0.5},
    },
    "walk_forward": {"validation_sessions": 20, "retrain_every_months": 12},
    "graphs": {"k": 5, "window": 60, "min_observations": 30, "min_sector_neighbours": 0},
    "hpo": {
        "preset": "custom",
        "trials": 1,
        "epochs": 1,
        "space": [{"path": "training.optimizer.lr", "kind": "log", "low": 1e-3, "high": 6e-3}],
    },
    "audit": {"count": 1, "codes": 20},
}


@pytest.fixture(scope="module")
def kedro() -> Iterator[Kedro]:
    with Kedro() as process:
        yield process


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose configuration makes everything tiny, before its first run."""
    project = make_project(tmp_path_factory.mktemp("project"))
    (project / "conf/local/parameters.yml").write_text(yaml.safe_dump(TINY))
    return project


def covered(command: str) -> bool:
    known = {*PARTS, *SHOWN, *SERVERS, *REFUSED, *RUN}
    # tests/jobs runs the command that prints job files, tests/test_package.py what a wheel offers.
    return command in known or command.startswith(("python ", "kedro run", "kedro job ", "kedro package"))


def test_commands_are_found_in_blocks_spans_and_tables() -> None:
    page = (
        "Run `kedro status` or\n\n```\nS=prices=<x>\n$ kedro run --params $S,\\\na=1   # all\nother\n```\n"
        "with `--params a=[1]` or `--env`.\n\n| `kedro run --pipeline=` | |\n|---|---|\n| `train` | `x` |\n\nend\n"
    )
    assert commands_of(page) == [
        "kedro run --params prices=<x>,a=1",
        "kedro run --pipeline=train",
        "kedro status",
        "--params a=[1]",
    ]


def test_every_documented_command_is_covered() -> None:
    missing = {command: page for command, page in documented().items() if not covered(command)}
    assert missing == {}
    assert set(PARTS) | set(SHOWN) | set(REFUSED) <= set(documented())
    assert len(documented()) > 40
    for command in documented():
        for script in re.findall(r"benchmarks[/.]\w+", command):
            assert (ROOT / script.replace(".", "/")).with_suffix(".py").is_file()


def runs() -> list[str]:
    """Documented runs, the parts of commands in their places."""
    return [name for name in documented() if name.startswith("kedro run") and name not in REFUSED] + [
        f"{PARTS[name]} {name}" for name in documented() if name in PARTS
    ]


@pytest.mark.parametrize("command", runs())
def test_the_parameters_of_a_documented_run_are_valid(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ["<file or folder>", "<folder>", "<file>", "prices/yfinance.csv", "jquants", "stooq"]:
        command = command.replace(place, "/x")
    _, _, *words = shlex.split(command)
    options = cli.commands["run"].make_context("run", words).params
    names = [*options["pipelines"], *([options["pipeline"]] if options["pipeline"] else [])]
    pipelines = register_pipelines()
    monkeypatch.setattr("atft_pipeline.cli.pipelines", pipelines)
    check_selection({**options, "pipelines": names})
    # The winner of a search is there after a search alone.
    options["params"].get("training", {}).pop("from_study", None)
    found = ProjectConfigLoader(ROOT / "conf", options["env"], runtime_params=options["params"], **CONFIG_LOADER_ARGS)
    chosen = {name: pipelines[name] for name in names or ["__default__"]}
    built = ParameterValidator(chosen).validate_raw_params(found["parameters"])
    for name, value in options["params"].items():
        assert name in {"prices", "listings", "size"} or name in built, value


def test_documented_commands_work_as_typed(world: Path, kedro: Kedro) -> None:
    assert set(RUN) <= set(documented())
    for command in [*RUN, *BESIDE]:
        code, printed = kedro(world, *shlex.split(command)[1:])
        assert code == 0, f"{command}\n{printed}"
        assert "Traceback" not in printed, f"{command}\n{printed}"
        assert "without MLflow" not in printed, f"{command}\n{printed}"


def test_a_notebook_compares_the_trials_of_the_search(world: Path) -> None:
    notebooks.run(world, "compare_trials")


def test_two_versions_of_scores_are_compared_as_the_page_says(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(world)
    known = newest(world, "data/07_model_output/predictions.parquet")
    later = known.parents[1] / "2999-01-01T00.00.00.000Z" / known.name
    later.parent.mkdir()
    pl.read_parquet(known).with_columns(score_5=pl.col("return_5").fill_null(0.0)).write_parquet(later)
    for page in ("compare-runs", "update-and-predict"):
        text = (ROOT / f"docs/how-to/{page}.md").read_text(encoding="utf-8")
        for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            exec(compile(block, page, "exec"), {"__name__": page})  # the page's own text
    shutil.rmtree(later.parent)
    printed = capsys.readouterr().out
    # Scores that are the returns themselves rank better.
    assert re.search(r"newer less older: \+[01]\.\d{4} ± 0\.\d{4}", printed)


def test_a_command_that_is_shown_with_its_error_ends_in_it(world: Path, kedro: Kedro) -> None:
    for command, line in REFUSED.items():
        assert kedro(world, *shlex.split(command)[1:]) == (1, line)


@pytest.mark.parametrize("command", SHOWN)
def test_a_target_of_make_would_run_what_is_said(command: str) -> None:
    shown = subprocess.run(
        ["make", "--dry-run", *command.split()[1:]], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert SHOWN[command] in shown.stdout


def test_ipython_loads_the_project(world: Path) -> None:
    printed = as_typed(
        world, "ipython", "-c", "print('stages', 'train' in pipelines, catalog.get('raw_prices').load())"
    )
    assert re.search(r"stages True \S+prices.parquet", printed)
