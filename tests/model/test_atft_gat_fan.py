from dataclasses import replace

import pytest
import torch

from atft_pipeline.errors import ConfigError
from atft_pipeline.model.atft_gat_fan import ATFTGATFAN
from atft_pipeline.model.config import (
    EncoderConfig,
    GraphAttentionConfig,
    HeadsConfig,
    ModelConfig,
    NormaliserConfig,
    SelectionConfig,
)
from atft_pipeline.model.graph_attention import GATE_FLOOR
from atft_pipeline.training.config import RuntimeConfig
from atft_pipeline.training.runtime.runtime import choose_runtime, compile_module
from tests.model.inputs import inputs, one_day, spec

SMALL = ModelConfig(width=8, encoder=EncoderConfig(heads=2), graph=GraphAttentionConfig(layers=2, heads=4))
FULL_HEADS = HeadsConfig(quantiles=(0.1, 0.5, 0.9), student_t=True)
VARIANTS = {
    "default": SMALL,
    "lstm": replace(SMALL, encoder=EncoderConfig(kind="lstm_attention", heads=2)),
    "deep": replace(SMALL, encoder=EncoderConfig(layers=3, heads=2), graph=GraphAttentionConfig(layers=4, heads=4)),
    "grn selection": replace(SMALL, selection=SelectionConfig(kind="grn", per_step=False)),
    "no static": replace(SMALL, static=False),
    "checkpointing": replace(SMALL, checkpointing=True),
    "pyg": replace(SMALL, graph=GraphAttentionConfig(layers=2, heads=4, backend="pyg")),
    **{
        kind: replace(SMALL, normaliser=NormaliserConfig(kind=kind))  # type: ignore[arg-type]
        for kind in ("san", "multi_window", "none")
    },
}


def build(config: ModelConfig, **size: int) -> ATFTGATFAN:
    torch.manual_seed(0)
    return ATFTGATFAN(config, spec(**size))


@pytest.mark.parametrize("name", VARIANTS)
def test_every_parameter_gets_a_gradient(name: str) -> None:
    model = build(replace(VARIANTS[name], dropout=0.0, heads=FULL_HEADS)).train()
    out = model(*inputs(model.spec))
    assert out.score.shape == (14, 2)
    assert out.quantiles is not None
    assert out.student_t is not None
    (out.score.square().sum() + out.quantiles.square().sum() + out.student_t.square().sum()).backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
        assert parameter.grad.abs().max() > 0, parameter_name


@pytest.mark.parametrize("name", VARIANTS)
def test_score_is_independent_of_other_days_and_unlinked_listings(name: str) -> None:
    model = build(VARIANTS[name]).eval()
    given = inputs(model.spec, days=3, listings=9, k=2)
    with torch.no_grad():
        together = model(*given).score
        alone = model(*one_day(given, 1, 9)).score
    torch.testing.assert_close(alone, together[9:18], atol=1e-6, rtol=1e-5)


def test_padding_reaches_no_sample() -> None:
    model = build(SMALL).eval()
    given = inputs(model.spec)
    disturbed = given.features.clone()
    disturbed[~given.mask] = 50.0
    neighbors = given.neighbors.clone()
    neighbors[0, 0] = 6  # an edge that leads to the padding
    with torch.no_grad():
        before = model(given.features, given.mask, given.step_mask, neighbors, *given[4:]).score
        after = model(disturbed, given.mask, given.step_mask, neighbors, *given[4:]).score
    assert torch.equal(before[given.mask], after[given.mask])


@pytest.mark.parametrize(
    ("days", "listings", "features", "window"), [(1, 1, 6, 8), (2, 7, 1, 8), (1, 3, 6, 2), (2, 5, 6, 5)]
)
def test_smallest_inputs(days: int, listings: int, features: int, window: int) -> None:
    model = build(SMALL, features=features, window=window).eval()
    score = model(*inputs(model.spec, days=days, listings=listings)).score
    assert torch.isfinite(score).all()


def test_a_day_without_samples_is_finite() -> None:
    model = build(SMALL).train()
    given = inputs(model.spec)
    empty = given._replace(
        mask=torch.zeros_like(given.mask),
        step_mask=torch.zeros_like(given.step_mask),
        features=torch.zeros_like(given.features),
    )
    score = model(*empty).score
    score.sum().backward()
    assert torch.isfinite(score).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_switches_change_the_output() -> None:
    model = build(SMALL).eval()
    given = inputs(model.spec)
    scores = []
    for normaliser in (True, False):
        for graph in (True, False):
            model.switch(normaliser=normaliser, graph=graph)
            assert model.switches == {"normaliser": normaliser, "graph": graph}
            scores.append(model(*given).score[given.mask])
    for first in range(4):
        for second in range(first):
            assert not torch.allclose(scores[first], scores[second])


def test_wrong_width_is_refused_before_any_work() -> None:
    model = build(SMALL)
    given = inputs(spec(features=5))
    with pytest.raises(ConfigError, match="8 steps x 6 features, got 8 x 5"):
        model(*given)


def test_quantiles_rise_and_freedom_exceeds_two() -> None:
    model = build(replace(SMALL, heads=FULL_HEADS)).eval()
    with torch.no_grad():
        for parameter in model.heads.parameters():
            parameter.mul_(20)
    out = model(*inputs(model.spec))
    assert out.quantiles is not None
    assert out.student_t is not None
    assert (out.quantiles.diff(dim=-1) >= 0).all()
    assert (out.student_t[..., 1] > 0).all()
    assert (out.student_t[..., 2] > 2).all()


def test_market_features_condition_the_score_through_the_context() -> None:
    model = build(SMALL).eval()
    given = inputs(model.spec)
    context = model._context(given.features, given.sector, given.market)
    moved = given.features.clone()
    moved[:, -1, -1] += 1.0
    other = model._context(moved, given.sector, given.market)
    assert context is not None
    assert other is not None
    assert not torch.allclose(context, other)


def test_explanation_sums() -> None:
    model = build(SMALL).eval()
    given = inputs(model.spec)
    features, lags, gates, edges = model.explain(*given)
    assert gates is not None
    assert edges is not None
    torch.testing.assert_close(features.mean(dim=-1), torch.ones(14))
    torch.testing.assert_close(lags.sum(dim=-1), torch.ones(14))
    has_neighbors = (given.neighbors >= 0).any(dim=-1) & given.mask
    torch.testing.assert_close(edges.sum(dim=-1), has_neighbors.float())
    assert ((gates > GATE_FLOOR) == has_neighbors).all()
    # What is absent is not looked at.
    assert (lags[given.mask][~given.step_mask[given.mask]] == 0).all()


def test_without_graph_there_is_no_graph_to_explain() -> None:
    model = build(replace(SMALL, graph=GraphAttentionConfig(layers=0))).eval()
    assert model.explain(*inputs(model.spec))[2:] == (None, None)


def test_checkpointing_changes_no_gradient() -> None:
    gradients = []
    for checkpointing in (False, True):
        model = build(replace(SMALL, dropout=0.0, checkpointing=checkpointing)).train()
        model(*inputs(model.spec)).score.square().sum().backward()
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again)


def test_bf16_stays_near_float32() -> None:
    model = build(SMALL).eval()
    given = inputs(model.spec)
    with torch.no_grad():
        exact = model(*given).score[given.mask]
        with torch.autocast("cpu", torch.bfloat16):
            rough = model(*given).score
    assert rough.dtype == torch.float32
    assert (rough[given.mask] - exact).abs().max() < 0.05 * exact.std() + 0.02


@pytest.mark.slow
def test_the_default_compiles_to_one_graph_equal_to_eager() -> None:
    model = build(ModelConfig(dropout=0.0, graph=GraphAttentionConfig(dropout=0.0)))
    given = inputs(model.spec, listings=16)
    expected = model(*given).score
    expected.square().sum().backward()
    gradients = {
        name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None
    }
    model.zero_grad()
    compiled = torch.compile(model, fullgraph=True, dynamic=False)
    score = compiled(*given).score
    score.square().sum().backward()
    torch.testing.assert_close(score[given.mask], expected[given.mask], atol=1e-5, rtol=1e-5)
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, gradients[name], atol=1e-4, rtol=1e-3)
    torch._dynamo.reset()


@pytest.mark.slow
# Dynamo itself looks at the gradient of the intermediate that a compiled part is given.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("choice", ["full", "selective"])
def test_compiled_and_eager_models_are_equal_and_share_their_weights(choice: str) -> None:
    """One step of training compiled, one eager, from each other's weights: the same scores and the same gradients."""
    still = replace(SMALL, dropout=0.0, graph=replace(SMALL.graph, dropout=0.0))
    eager, compiled = build(still).train(), build(still).train()
    compile_module(compiled, choose_runtime(RuntimeConfig(device="cpu", compile=choice)))
    compiled.load_state_dict(eager.state_dict())
    given = inputs(eager.spec, listings=16)
    for model in (eager, compiled):
        model(*given).score[given.mask].square().sum().backward()
    with torch.no_grad():
        scores = [model(*given).score[given.mask] for model in (eager, compiled)]
    torch.testing.assert_close(*scores, atol=1e-5, rtol=1e-5)
    for (name, one), (same, other) in zip(eager.named_parameters(), compiled.named_parameters(), strict=True):
        assert name == same
        if one.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, atol=1e-4, rtol=1e-3, msg=name)
    eager.load_state_dict(compiled.state_dict())
    torch._dynamo.reset()
