"""The documentation site: it builds without a warning, its references are those of the code, it needs no network."""

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import draw_figures
import hooks
import pytest
from generate import catalog, configuration, errors, flowchart

from atft_pipeline.config import from_mapping
from atft_pipeline.errors import AtftError
from atft_pipeline.features.config import FeaturesConfig
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.panel.arrow_file import open_file
from atft_pipeline.panel.panel import Panel
from atft_pipeline.pipeline_registry import register_pipelines
from atft_pipeline.prices.reading.config import PricesConfig
from atft_pipeline.prices.reading.read import read_prices
from atft_pipeline.splits.split import SplitConfig
from atft_pipeline.training.config import TrainingConfig
from tests import ACTIVATED
from tests.browser import browser, open_page
from tests.project import ROOT

pytestmark = pytest.mark.filterwarnings("ignore:.*register_new_resolver:UserWarning")

PIPELINES = register_pipelines()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as ``make docs`` builds it."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "mkdocs", "build", "--site-dir", folder],
        cwd=ROOT,
        env=ACTIVATED | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.mark.slow
def test_every_page_is_built(site: Path) -> None:
    made = {path.relative_to(site).with_suffix(".md").as_posix() for path in site.rglob("*.html")}
    written = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert written <= made
    assert {configuration.PAGE, "reference/catalog.md", "reference/errors.md", "reference/api/model.md"} <= made


@pytest.mark.slow
def test_no_page_fetches_anything(site: Path) -> None:
    for path in site.rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        assert re.findall(r"<(?:script|img|iframe)[^>]*\bsrc=\"?https?:[^>]*>", page) == [], path
        assert re.findall(r"<link[^>]*\bhref=\"?https?:[^>]*>", page) == [], path


@pytest.mark.slow
def test_a_page_opens_and_the_search_finds_from_the_disk(site: Path, tmp_path: Path) -> None:
    browser()
    page, said = open_page(f"file://{site}/reference/configuration.html?q=embargo", tmp_path)
    assert said == []
    assert re.search(r"[0-9]+ matching documents", page)


def leaves(mapping: object) -> Iterator[str]:
    """Dotted names of the values of nested mappings."""
    if isinstance(mapping, dict):
        for name, value in mapping.items():
            inner = list(leaves(value)) if isinstance(value, dict) and value else []
            yield from ([f"{name}.{rest}" for rest in inner] or [str(name)])


def test_the_configuration_reference_has_every_parameter_that_conf_sets() -> None:
    page = configuration.reference(PIPELINES)
    known = set(re.findall(r'<a id="([^"]+)">', page))
    assert len(known) > 120
    for values in configuration.configured_values().values():
        for name in leaves(values):
            # Keys of a mapping, such as the weight of a horizon, belong to the parameter that holds it.
            assert {name, name.rpartition(".")[0]} & (known | configuration.names(PIPELINES)), name


def test_the_reference_tells_type_default_limits_and_the_value_of_each_environment() -> None:
    row = re.search(
        r'^\| <a id="training.optimizer.weight_decay">.*$', configuration.reference(PIPELINES), re.MULTILINE
    )
    assert row is not None
    for part in ("number<br>0 to 100", "`0.01`<br>sample market: `2.0`<br>production: `0.1`", "decoupled decay"):
        assert part in row[0]


def test_a_class_whose_docstring_leaves_out_a_parameter_is_refused() -> None:
    class Silent(TrainingConfig):
        """Says nothing."""

    with pytest.raises(KeyError, match="Silent: its docstring and its fields differ"):
        configuration.attributes(Silent)


def test_the_catalog_reference_has_every_artifact_of_the_pipelines() -> None:
    known = set(catalog.artifacts(PIPELINES))
    assert set(catalog.WHAT) <= known
    page = catalog.reference(PIPELINES)
    assert page.count("<a id=") == len(known)
    assert re.search(r"`panel`.*data/05_model_input/panel.arrow`, versioned \| PanelDataset \| by panel, update", page)


def mistakes(folder: Path) -> Iterator[AtftError]:
    """Errors as users meet them."""
    table = folder / "prices.csv"
    table.write_text("Date,Code,Open\n2024-01-02,A,1\n2024-01-03,A,1\n")
    for attempt in (
        lambda: SplitConfig(validation_share=0.6, test_share=0.5),
        lambda: TrainingConfig(epochs=0),
        lambda: from_mapping(FeaturesConfig, {"groups": ["alpha"]}, "features"),
        lambda: from_mapping(TrainingConfig, 3, "training"),
        lambda: read_prices(folder / "absent", PricesConfig()),
        lambda: read_prices(table, PricesConfig()),
        lambda: open_file(folder / "panel.arrow", "panel"),
    ):
        with pytest.raises(AtftError) as caught:
            attempt()
        yield caught.value


def test_an_error_that_a_user_meets_is_in_the_reference(tmp_path: Path) -> None:
    known = errors.Reader().messages()
    for error in mistakes(tmp_path):
        text = " ".join(str(error).split())
        found = [
            message
            for message in known
            if re.search(re.sub(r"‹[^›]*›", ".+", re.sub(r"([.*+?()\[\]{}|\\^$])", r"\\\1", message.shape)), text)
        ]
        assert any(type(error).__name__ == message.kind for message in found), text


def test_every_kind_of_error_is_told_with_what_to_do() -> None:
    messages = errors.Reader().messages()
    assert len(messages) > 250
    raised = {message.kind for message in messages}
    assert raised <= set(errors.kinds())
    for kind in errors.kinds():
        assert len(errors.kinds()[kind]) > 20, kind


@pytest.mark.parametrize(
    ("text", "shown", "warned"),
    [
        ("Set `training.epochs=3`.", "Set [`training.epochs=3`](reference/configuration.html#training.epochs).", False),
        ("`training.epoch` is gone", "[`training.epoch`](reference/configuration.html#training.epoch) is gone", True),
        ("`loss.regime_weights.MARKET_VOL20` and `model.json` and `np.mean`", None, False),
        ("```\n`training.epoch`\n```", None, False),
        ("## `training.epochs`", None, False),
    ],
)
def test_a_page_cannot_name_a_parameter_that_is_gone(
    text: str, shown: str | None, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    page = SimpleNamespace(file=SimpleNamespace(src_uri="x.md"))
    with caplog.at_level(logging.WARNING, "mkdocs"):
        found = hooks.on_page_markdown(text, page)
    assert found.replace("configuration.md", "configuration.html") == (text if shown is None else shown)
    assert bool(caplog.records) == warned


ORIGIN = """USE_RANKIC RANKIC_WEIGHT CS_IC_WEIGHT SHARPE_WEIGHT NUM_WORKERS PREFETCH_FACTOR PIN_MEMORY PIN_MEMORY_DEVICE
    PERSISTENT_WORKERS MULTIPROCESSING_CONTEXT ALLOW_UNSAFE_DATALOADER FORCE_SINGLE_PROCESS OMP_NUM_THREADS
    PHASE_MAX_BATCHES VAL_DEBUG_LOGGING OPTIMIZER_TYPE SCHEDULER_TYPE USE_AMP AMP_DTYPE TORCH_CUDNN_V8_API_ENABLED
    CUDA_MODULE_LOADING PYTORCH_NVFUSER_DISABLE use_fused_optimizer APEX xFormers flash-attn DALI RAPIDS
    channels_last"""


def test_every_setting_of_the_origin_has_its_place() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / "docs/origin-settings.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and not line.startswith("| origin")
    ]
    origin = {name.strip(" `") for first, *_ in rows for name in first.split(",")}
    assert set(ORIGIN.split()) <= origin
    known = configuration.names(PIPELINES)
    for _, here, _ in rows:
        named = re.findall(r"`([^`]+)`", here)
        assert here == "gone" or named
        assert all(name in known or name == "OMP_NUM_THREADS" for name in named), here


def test_a_flowchart_is_drawn_whole() -> None:
    drawn = flowchart.svg("flowchart TD\n    a --> b\n    a --> c\n    b --> d\n    c --> d\n")
    assert re.findall(r">(\w)</text>", drawn) == ["a", "b", "c", "d"]
    assert drawn.count("<line") == 4


@pytest.mark.slow
def test_every_figure_of_the_concepts_is_drawn_from_a_run(finished: tuple[Path, str]) -> None:
    project, _ = finished
    panel = Panel.open(draw_figures.newest(project / "data/05_model_input/panel.arrow"))
    graphs = MonthlyGraphs.open(draw_figures.newest(project / "data/05_model_input/graphs.arrow"))
    for name in draw_figures.FIGURES:
        drawn = draw_figures.draw(name, panel, graphs)
        assert drawn.startswith("<svg "), name
        assert "currentColor" in drawn, name
    committed = {path.stem for path in (ROOT / "docs/figures").glob("*.svg")}
    assert committed == set(draw_figures.FIGURES)
