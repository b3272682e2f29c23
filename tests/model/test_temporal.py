import pytest
import torch
import torch.nn.functional as F

from atft_pipeline.model.config import EncoderConfig
from atft_pipeline.model.temporal import InterpretableAttention, TemporalEncoder, shared_value_attention


def build(kind: str, layers: int = 2, window: int = 6) -> TemporalEncoder:
    torch.manual_seed(0)
    config = EncoderConfig(kind=kind, layers=layers, heads=2)  # type: ignore[arg-type]
    return TemporalEncoder(config, 8, window, 4, 0.0).eval()


def test_attention_is_its_weights_times_the_shared_values() -> None:
    torch.manual_seed(0)
    block = InterpretableAttention(8, 2, 0.0)
    memory = torch.randn(3, 5, 8)
    present = torch.ones(3, 5, dtype=torch.bool)
    present[0, 1] = False
    for query in (memory, memory[:, -1:]):
        weights = block.weights(query, memory, present)
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(3, 2, query.shape[1]))
        assert (weights[0, ..., 1] == 0).all()
        expected = block.out(torch.einsum("sajl,slc->sjc", weights, block.value(memory)) / 2)
        torch.testing.assert_close(block(query, memory, present), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_absent_steps_weigh_nothing_under_the_causal_mask(dtype: torch.dtype) -> None:
    """The number that hides an absent step is hidden enough in every precision: its values reach no other step."""
    torch.manual_seed(0)
    query, key, value = (torch.randn(4, 6, *size, dtype=dtype) for size in ((2, 4), (2, 4), (4,)))
    present = torch.tensor([[True] * 6, [False, True, True, True, True, True], [True, True, False] * 2, [True] * 6])
    found = shared_value_attention(query, key, value, present, causal=True, dropout=0.0)
    moved = [part.masked_fill(~present.view(4, 6, *[1] * (part.ndim - 2)), 9.0) for part in (key, value)]
    again = shared_value_attention(query, *moved, present, causal=True, dropout=0.0)
    assert torch.equal(found[present], again[present])
    assert torch.isfinite(found).all()
    masked = present[:, None, None] & torch.ones(6, 6, dtype=torch.bool).tril()
    own = masked | torch.eye(6, dtype=torch.bool)
    heads = [part.transpose(1, 2).float() for part in (query, key)]
    expected = F.scaled_dot_product_attention(*heads, value[:, None].float().expand(-1, 2, -1, -1), attn_mask=own)
    tolerance = 1e-6 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(found[present].float(), expected.mean(dim=1)[present], atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("kind", ["attention", "lstm_attention"])
def test_every_present_step_matters_and_absent_ones_do_not(kind: str) -> None:
    encoder = build(kind)
    x, context = torch.randn(2, 6, 8), torch.randn(2, 4)
    present = torch.ones(2, 6, dtype=torch.bool)
    before = encoder(x, present, context)
    for step in range(6):
        moved = x.clone()
        moved[:, step] += torch.linspace(-1, 1, 8)
        assert not torch.allclose(encoder(moved, present, context), before), step
    if kind == "attention":  # an LSTM carries its state through absent steps, which hold zeros
        absent = present.clone()
        absent[:, 2] = False
        moved = x.clone()
        moved[:, 2] = 7.0
        torch.testing.assert_close(encoder(moved, absent, context), encoder(x, absent, context))


@pytest.mark.parametrize("kind", ["attention", "lstm_attention"])
def test_inner_layers_are_causal(kind: str) -> None:
    encoder = build(kind, layers=3)
    x, context = torch.randn(2, 6, 8), torch.randn(2, 4)
    present = torch.ones(2, 6, dtype=torch.bool)
    moved = x.clone()
    moved[:, 4:] += torch.linspace(-1, 1, 8)
    inner = [encoder._inner(*encoder.prepare(part, present, context)) for part in (x, moved)]
    torch.testing.assert_close(inner[0][:, :4], inner[1][:, :4])
    assert not torch.allclose(inner[0][:, 4:], inner[1][:, 4:])


def test_weights_over_lags_sum_to_one() -> None:
    encoder = build("attention")
    present = torch.ones(2, 6, dtype=torch.bool)
    present[0, :2] = False
    weights = encoder.weights(torch.randn(2, 6, 8), present, torch.randn(2, 4))
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2))
    assert (weights[0, :2] == 0).all()


def test_static_context_conditions_the_encoding() -> None:
    encoder = build("lstm_attention")
    x, present = torch.randn(2, 6, 8), torch.ones(2, 6, dtype=torch.bool)
    assert not torch.allclose(encoder(x, present, torch.zeros(2, 4)), encoder(x, present, torch.ones(2, 4)))
