import pytest
import torch

from atft_pipeline.model.config import EncoderConfig
from atft_pipeline.model.temporal import InterpretableAttention, TemporalEncoder


def build(kind: str, layers: int = 2, window: int = 6) -> TemporalEncoder:
    torch.manual_seed(0)
    config = EncoderConfig(kind=kind, layers=layers, heads=2)  # type: ignore[arg-type]
    return TemporalEncoder(config, 8, window, 4, 0.0).eval()


def test_attention_is_its_weights_times_the_shared_values() -> None:
    torch.manual_seed(0)
    block = InterpretableAttention(8, 2, 0.0)
    query, memory = torch.randn(3, 2, 8), torch.randn(3, 5, 8)
    allowed = torch.ones(3, 1, 1, 5, dtype=torch.bool)
    allowed[0, ..., 1] = False
    weights = block.weights(query, memory, allowed)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(3, 2, 2))
    assert (weights[0, ..., 1] == 0).all()
    expected = block.out(torch.einsum("sajl,slc->sjc", weights, block.value(memory)) / 2)
    torch.testing.assert_close(block(query, memory, allowed), expected, atol=1e-6, rtol=1e-5)


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
