import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.nn import GATv2Conv

from atft_pipeline.model.config import GraphAttentionConfig
from atft_pipeline.model.graph_attention import GATv2, GraphAttention
from tests.model.inputs import inputs, spec


def edges(neighbors: torch.Tensor, edge_attr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Edge list of one day, written as plainly as possible."""
    pairs, attributes = [], []
    for target, row in enumerate(neighbors.tolist()):
        for place, source in enumerate(row):
            if source >= 0:
                pairs.append((source, target))
                attributes.append(edge_attr[target, place])
    return torch.tensor(pairs).T, torch.stack(attributes)


@pytest.mark.parametrize("concat", [True, False])
def test_equal_to_torch_geometric(concat: bool) -> None:
    torch.manual_seed(1)
    given_inputs = inputs(spec(), days=1, listings=40, k=6)
    reference = GATv2Conv(16, 4, heads=3, concat=concat, edge_dim=3, add_self_loops=False)
    ours = GATv2(16, 4, 3, 3, concat=concat)
    missing = ours.load_state_dict(reference.state_dict(), strict=False)
    assert missing.missing_keys == ["log_temperature"]
    assert not missing.unexpected_keys
    x = torch.randn(40, 16)
    edge_index, attributes = edges(given_inputs.neighbors, given_inputs.edge_attr)
    expected = reference(x, edge_index, attributes)
    torch.testing.assert_close(ours(x, given_inputs.neighbors, given_inputs.edge_attr), expected, atol=1e-5, rtol=1e-5)


def test_backends_agree_with_the_same_weights() -> None:
    torch.manual_seed(1)
    given_inputs = inputs(spec(), days=3, listings=20, k=5)
    ours = GATv2(16, 4, 4, 3)
    with torch.no_grad():
        ours.log_temperature.uniform_(-1, 1)
    reference = GATv2(16, 4, 4, 3, backend="pyg")
    reference.load_state_dict(ours.state_dict())
    x = torch.randn(60, 16, requires_grad=True)
    results = []
    for layer in (ours, reference):
        out = layer(x, given_inputs.neighbors, given_inputs.edge_attr)
        (gradient,) = torch.autograd.grad(out.square().sum(), x)
        results.append((out, gradient))
    torch.testing.assert_close(results[0][0], results[1][0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(results[0][1], results[1][1], atol=1e-4, rtol=1e-4)


def test_temperature_sharpens_attention() -> None:
    torch.manual_seed(1)
    given_inputs = inputs(spec(), days=1, listings=20, k=5)
    layer = GATv2(16, 4, 4, 3)
    x = torch.randn(20, 16)
    with torch.no_grad():
        before, _ = layer.attend(x, given_inputs.neighbors, given_inputs.edge_attr)
        layer.log_temperature.fill_(1.0)
        after, _ = layer.attend(x, given_inputs.neighbors, given_inputs.edge_attr)
    full = (given_inputs.neighbors >= 0).all(dim=1)
    assert full.any()
    # Logits are multiplied by e^1: so are the differences of the log weights.
    ratios = [(found[full, 1:] / found[full, :1]).log() for found in (before, after)]
    torch.testing.assert_close(ratios[1], torch.e * ratios[0], atol=1e-4, rtol=1e-4)
    assert (after.amax(dim=1) >= before.amax(dim=1) - 1e-6).all()


@settings(max_examples=40, deadline=None)
@given(layers=st.integers(0, 5), heads=st.sampled_from([1, 2, 4, 8]), factor=st.integers(1, 4))
def test_any_depth_works_for_any_width_that_the_heads_divide(layers: int, heads: int, factor: int) -> None:
    given_inputs = inputs(spec(), listings=5)
    width = heads * factor
    stack = GraphAttention(GraphAttentionConfig(layers=layers, heads=heads), width, 3)
    x = torch.randn(10, width)
    out = stack(x, given_inputs.neighbors, given_inputs.edge_attr)
    assert out.shape == x.shape
    assert torch.isfinite(out).all()
    if layers == 0:
        assert torch.equal(out, x)


def test_a_listing_reaches_others_only_along_edges() -> None:
    torch.manual_seed(0)
    given_inputs = inputs(spec(), days=1, listings=12, k=4)
    stack = GraphAttention(GraphAttentionConfig(layers=1, heads=2), 8, 3).eval()
    x = torch.randn(12, 8)
    changed = x.clone()
    changed[4] += 1.0
    with torch.no_grad():
        difference = (stack(changed, *given_inputs[3:5]) - stack(x, *given_inputs[3:5])).abs().amax(dim=-1)
    has_neighbor = (given_inputs.neighbors == 4).any(dim=-1)
    has_neighbor[4] = True
    assert 1 < int(has_neighbor.sum()) < 12
    assert (difference[has_neighbor] > 0).all()
    assert (difference[~has_neighbor] == 0).all()


def test_a_listing_without_neighbours_passes_unchanged() -> None:
    given_inputs = inputs(spec(), days=1, listings=12)
    stack = GraphAttention(GraphAttentionConfig(layers=2, heads=2), 8, 3).eval()
    x = torch.randn(12, 8)
    out = stack(x, given_inputs.neighbors, given_inputs.edge_attr)
    assert torch.equal(out[10], x[10])
