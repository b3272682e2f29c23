"""Every point of the project's search spaces is a valid configuration that trains, and every dimension arrives."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atft_pipeline.errors import ConfigError
from atft_pipeline.lineage import hash_bytes
from atft_pipeline.model.atft_gat_fan import ATFTGATFAN
from atft_pipeline.training.build import build_trainer
from atft_pipeline.training.epoch import train_epoch
from atft_pipeline.training.experiment import Experiment, TrainingRun
from atft_pipeline.training.trainer import Trainer
from atft_pipeline.tuning.config import GROUPS, DimensionConfig
from atft_pipeline.tuning.objective import SharedData
from atft_pipeline.tuning.space import (
    Point,
    apply,
    as_mapping,
    check_space,
    default_point,
    distribution,
    largest_divisor,
    with_groups,
)
from tests.model.inputs import spec
from tests.tuning.studies import BASE, SPACE, load, read_settings, scaled

ENVIRONMENTS = ("base", "production")
READ = {name: read_settings(name) for name in ENVIRONMENTS}
SCALED = {name: scaled(*READ[name]) for name in ENVIRONMENTS}
DIMENSIONS = [(name, dimension.path) for name in ENVIRONMENTS for dimension in SCALED[name][1]]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> SharedData:
    shared, _ = load(tmp_path_factory.mktemp("market"), days=70, listings=8)
    return shared


def value_of(dimension: DimensionConfig) -> st.SearchStrategy[Any]:
    if dimension.kind == "categorical":
        return st.sampled_from(dimension.choices)
    if dimension.kind == "int":
        return st.integers(int(dimension.low or 0), int(dimension.high or 0))
    return st.floats(dimension.low, dimension.high)


@st.composite
def points(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    name = draw(st.sampled_from(ENVIRONMENTS))
    return name, {dimension.path: draw(value_of(dimension)) for dimension in SCALED[name][1]}


def trainer_of(settings_: Experiment, data: SharedData, folder: Path, batches: int) -> Trainer:
    training = replace(settings_.training, max_batches=batches).with_epochs(3)
    experiment = replace(settings_, training=training)
    made = build_trainer(TrainingRun(experiment, data.market, data.split, folder))
    assert not made.store.folder.exists()
    return made


def step(trainer: Trainer) -> dict[str, Any]:
    return train_epoch(trainer, trainer.enter(trainer.experiment.training.plan[0]))


@pytest.mark.slow
@settings(max_examples=500, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(drawn=points())
def test_every_point_builds_and_steps(
    drawn: tuple[str, dict[str, Any]], tiny: SharedData, tmp_path_factory: Any
) -> None:
    name, point = drawn
    base, _ = SCALED[name]
    settings_ = apply(base, point)
    # The tiny market's epoch has three of the largest batches.
    training = replace(settings_.training, accumulation=min(settings_.training.accumulation, 3))
    settings_ = replace(settings_, training=training)
    trainer = trainer_of(settings_, tiny, tmp_path_factory.mktemp("states"), batches=settings_.training.accumulation)
    record = step(trainer)
    assert trainer.state.step == 1
    assert torch.isfinite(torch.tensor([record["loss"], record["gradient_norm"]])).all()
    assert all(torch.isfinite(weight).all() for weight in trainer.model.parameters())


@pytest.mark.parametrize("width", [256, 384, 512, 768])
@pytest.mark.parametrize("layers", [0, 1, 2, 3, 4])
def test_production_widths_and_layers_build_at_their_true_size(width: int, layers: int) -> None:
    base, _ = READ["production"]
    made = apply(base, {"model.width": width, "model.graph.layers": layers})
    with torch.device("meta"):
        model = ATFTGATFAN(made.model, spec(window=8))
    assert len(model.graph.layers) == layers
    assert tuple(model.fuse.inner.weight.shape) == (width, width)
    assert made.model.graph.heads == 8


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_projects_spaces_pass_their_own_check(name: str) -> None:
    check_space(*READ[name])


def trained(base: Experiment, point: Point, data: SharedData) -> str:
    """Hash of the weights that would be kept after a few steps: everything that reaches the trainer moves them."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(apply(base, point), data, Path(folder), batches=4)
        step(trainer)
    kept = trainer.weights_to_keep()
    return hash_bytes(kept[name].detach().numpy().tobytes() for name in sorted(kept))


@pytest.mark.parametrize(("name", "path"), DIMENSIONS)
def test_every_dimension_changes_what_is_trained(name: str, path: str, tiny: SharedData) -> None:
    base, space = SCALED[name]
    (dimension,) = [found for found in space if found.path == path]
    ends = dimension.choices or (dimension.low, dimension.high)
    values = [int(end) if dimension.kind == "int" else end for end in ends]  # type: ignore[arg-type]
    if (name, path) == ("production", "batches.batch_size"):
        values = [16, 32]  # four days of this small market bound the larger ones
    weights = [trained(base, {path: value}, tiny) for value in values]
    assert len(set(weights)) == len(values)
    assert trained(base, {path: values[0]}, tiny) == weights[0]


def test_the_origins_dimensions_are_in_the_production_space() -> None:
    origin = {
        "training.optimizer.lr": (5e-6, 5e-3),
        "batches.batch_size": (4096, 6144, 8192, 12288),
        "model.width": (256, 384, 512, 768),
        "model.graph.dropout": (0.1, 0.4),
        "model.graph.layers": (2, 4),
        "training.accumulation": (1, 2, 4),
        "loss.spearman": (0.0, 0.05, 0.1, 0.2),
    }
    space = {dimension.path: dimension for dimension in READ["production"][1]}
    for path, values in origin.items():
        assert (space[path].choices or (space[path].low, space[path].high)) == values
    assert set(space) >= {
        "loss.rank_ic",
        "loss.ic",
        "loss.sharpe",
        "training.optimizer.name",
        "training.schedule.name",
        "model.normaliser.kind",
    }


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("model.widht", r"model\.widht: no parameter widht; did you mean width\?"),
        ("modle.width", r"modle\.width: no group modle; there are: targets"),
        ("training.seed", r"training\.seed belongs to the search itself"),
        ("loss.horizon_weights.5", r"loss\.horizon_weights\.5 weighs the validation RankIC too"),
        ("model.width.deep", "no parameter deep"),
        ("loss.listnet", r"loss\.listnet: is no longer a parameter; use loss\.rank_ic"),
        ("model.graph.edge_dropout", r"edge_dropout: is no longer a parameter; use model\.graph\.dropout"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(path: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_space(BASE, (DimensionConfig(path=path, kind="categorical", choices=(8, 16)),))


def test_a_value_of_the_wrong_type_is_refused_with_its_name() -> None:
    with pytest.raises(ConfigError, match=r"model\.width: .*a whole number"):
        check_space(BASE, (DimensionConfig(path="model.width", kind="categorical", choices=(8, "wide")),))
    with pytest.raises(ConfigError, match=r"model\.dropout: must be from 0 to"):
        check_space(BASE, (DimensionConfig(path="model.dropout", kind="float", low=0.0, high=1.5),))


def test_a_space_without_the_default_is_refused() -> None:
    with pytest.raises(ConfigError, match="the default 8 lies outside"):
        check_space(BASE, (DimensionConfig(path="model.width", kind="categorical", choices=(16, 32)),))


def test_a_space_with_a_point_without_any_loss_is_refused() -> None:
    space = tuple(
        DimensionConfig(path=f"loss.{term}", kind="float", low=0.0, high=1.0) for term in ("huber", "rank_ic", "ic")
    )
    with pytest.raises(ConfigError, match="every loss term weighs 0"):
        check_space(BASE, space)


def test_entries_of_lists_and_horizons_are_dimensions() -> None:
    made = apply(BASE, {"training.optimizer.betas.1": 0.95, "loss.horizon_weights.5": 0.5})
    assert made.training.optimizer.betas == (0.9, 0.95)
    assert dict(made.loss.horizon_weights) == {5: 0.5}


def test_dependent_parameters_follow() -> None:
    made = apply(BASE, {"model.width": 20, "model.encoder.heads": 8, "batches.window": 4, "batches.min_history": 9})
    assert (made.model.encoder.heads, made.batches.min_history) == (5, 4)
    made = apply(BASE, {"loss.quantile": 0.2, "loss.student_t": 0.1})
    assert made.model.heads.quantiles == (0.1, 0.5, 0.9)
    assert made.model.heads.student_t


@pytest.mark.parametrize(("number", "limit", "found"), [(64, 8, 8), (20, 8, 5), (7, 4, 1), (8, 16, 8), (1, 1, 1)])
def test_largest_divisor(number: int, limit: int, found: int) -> None:
    assert largest_divisor(number, limit) == found


def test_the_default_point_lies_in_the_space_and_changes_nothing() -> None:
    point = default_point(BASE, SPACE)
    assert point == {"training.optimizer.lr": 1e-2, "model.graph.layers": 1, "model.width": 8}
    assert apply(BASE, point) == BASE
    assert all(
        distribution(dimension)._contains(dimension.choices.index(8) if dimension.choices else point[dimension.path])
        for dimension in SPACE
    )  # type: ignore[arg-type]


def test_settings_survive_the_way_through_plain_types() -> None:
    assert with_groups(Experiment(), as_mapping(BASE)) == BASE
    assert set(as_mapping(BASE)) == set(GROUPS)
