import pytest
import torch

from atft_pipeline.model.config import SelectionConfig
from atft_pipeline.model.variable_selection import GRNSelection, LinearSelection, SelectionWeights


def weights(samples: int, steps: int, features: int) -> torch.Tensor:
    return torch.softmax(torch.randn(samples, steps, features, generator=torch.Generator().manual_seed(1)), dim=-1)


@pytest.mark.parametrize("steps_of_weights", [1, 5])
def test_linear_selection_equals_its_explicit_form(steps_of_weights: int) -> None:
    torch.manual_seed(0)
    block = LinearSelection(7, 6)
    x, w = torch.randn(4, 5, 7), weights(4, steps_of_weights, 7)
    embedded = x[..., None] * block.embedding + block.bias  # [S, L, F, H]
    explicit = (w[..., None] * embedded).sum(dim=2)
    torch.testing.assert_close(block(x, w), explicit, atol=1e-6, rtol=1e-6)


def test_linear_selection_never_holds_features_times_width() -> None:
    """The largest tensor that forward and backward save is an input or a result, not [S, L, F, H]."""
    F, H = 64, 64
    block = LinearSelection(F, H)
    x, w = torch.randn(8, 10, F), weights(8, 10, F).requires_grad_()
    saved: list[int] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        block(x, w).sum().backward()
    assert max(saved) <= 8 * 10 * max(F, H)


def test_grn_selection_transforms_each_variable_by_itself() -> None:
    torch.manual_seed(0)
    block = GRNSelection(3, 4, dropout=0.0)
    x, moved = torch.randn(2, 5, 3), None
    only_first = torch.zeros(2, 1, 3)
    only_first[..., 0] = 1.0
    moved = x.clone()
    moved[..., 1:] += 10.0
    torch.testing.assert_close(block(x, only_first), block(moved, only_first))
    assert not torch.allclose(block(x, only_first), block(x + 1.0, only_first))


def test_weights_are_a_softmax_that_starts_nearly_even() -> None:
    torch.manual_seed(0)
    block = SelectionWeights(SelectionConfig(hidden=8), 9, context=4, dropout=0.0)
    x, context = torch.randn(3, 5, 9), torch.randn(3, 4)
    found = block(x, context)
    assert found.shape == (3, 5, 9)
    torch.testing.assert_close(found.mean(dim=-1), torch.ones(3, 5))
    assert (found - 1).abs().max() < 0.5
    assert not torch.allclose(found, block(x, context + 1.0))


def test_once_a_window_the_last_step_decides() -> None:
    torch.manual_seed(0)
    block = SelectionWeights(SelectionConfig(hidden=8, per_step=False), 9, context=0, dropout=0.0)
    x = torch.randn(3, 5, 9)
    earlier = x.clone()
    earlier[:, :-1] = 0.0
    assert block(x, None).shape == (3, 1, 9)
    torch.testing.assert_close(block(x, None), block(earlier, None))
