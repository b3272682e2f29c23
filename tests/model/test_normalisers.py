import numpy as np
import pytest
import torch

from atft_pipeline.model import moments
from atft_pipeline.model.config import NormaliserConfig
from atft_pipeline.model.fan import FAN, fourier_bases, strongest
from atft_pipeline.model.moments import VARIANCE_FLOOR
from atft_pipeline.model.multi_window import MultiWindow
from atft_pipeline.model.normaliser import build_normaliser
from atft_pipeline.model.san import SAN

KINDS = ("fan", "san", "multi_window", "none")
SCALING = ("san", "multi_window")


def reference_split(x: np.ndarray, top_k: int) -> np.ndarray:
    """Main part of one series [L] by numpy's FFT."""
    spectrum = np.fft.rfft(x)
    keep = np.argsort(-np.abs(spectrum), kind="stable")[:top_k]
    kept = np.zeros_like(spectrum)
    kept[keep] = spectrum[keep]
    return np.fft.irfft(kept, n=len(x))


@pytest.mark.parametrize("length", [5, 8, 20, 21, 60])
def test_bases_are_the_real_fourier_transform(length: int) -> None:
    analysis, synthesis = fourier_bases(length)
    x = np.random.default_rng(length).standard_normal(length)
    spectrum = np.fft.rfft(x)
    expected = np.concatenate([spectrum.real, -spectrum.imag])
    np.testing.assert_allclose(analysis.numpy() @ x, expected, atol=1e-5)
    np.testing.assert_allclose(synthesis.numpy() @ analysis.numpy(), np.eye(length), atol=1e-6)


@pytest.mark.parametrize("length", [5, 20, 60])
def test_fan_equals_an_fft_and_its_parts_sum_to_the_window(length: int) -> None:
    x = torch.randn(4, length, 3, generator=torch.Generator().manual_seed(length))
    fan = FAN(3, length, 8, 3, 4)
    main, residual = fan.split(x)
    torch.testing.assert_close(main + residual, x)
    expected = np.apply_along_axis(reference_split, 1, x.double().numpy(), 3)
    np.testing.assert_allclose(main.numpy(), expected, atol=1e-5)
    # The encoder starts with the window itself.
    torch.testing.assert_close(fan(x, torch.ones(4, length, dtype=torch.bool)).sequence, x)


def test_strongest_is_the_kth_largest() -> None:
    power = torch.rand(3, 11, 4)
    expected = power.sort(dim=1, descending=True).values[:, 2:3]
    assert torch.equal(strongest(power, 3), expected)


def test_fan_chooses_the_same_frequencies_under_autocast() -> None:
    x = torch.randn(64, 20, 10)
    fan = FAN(10, 20, 8, 3, 4)
    plain = fan.split(x)[0]
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(fan.split(x)[0], plain)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [*range(5, 61, 5), 7, 13, 59])
def test_last_step_is_covered(kind: str, length: int) -> None:
    torch.manual_seed(length)
    normaliser = build_normaliser(NormaliserConfig(kind=kind), 2, length, 8)  # type: ignore[arg-type]
    x = torch.randn(3, length, 2, requires_grad=True)
    sequence = normaliser(x, torch.ones(3, length, dtype=torch.bool)).sequence
    assert (sequence[:, -1].abs() > 1e-4).all()
    (gradient,) = torch.autograd.grad(sequence[:, -1].square().sum(), x)
    assert (gradient[:, -1].abs() > 0).all()


@pytest.mark.parametrize("slice_length", [2, 3, 5, 7, 60])
def test_every_slice_length_covers_every_step(slice_length: int) -> None:
    for length in range(5, 61):
        normaliser = SAN(1, length, 4, slice_length, 8)
        groups = normaliser.get_buffer("moments.groups")
        assert torch.equal(groups.sum(dim=0), torch.ones(length))
        assert (groups.sum(dim=1) >= min(slice_length, length)).all()


@pytest.mark.parametrize("kind", SCALING)
def test_constant_series_stay_at_zero(kind: str) -> None:
    """Rounding noise of a constant is not blown up to unit variance."""
    normaliser = build_normaliser(NormaliserConfig(kind=kind), 2, 20, 8)  # type: ignore[arg-type]
    x = torch.full((4, 20, 2), 0.7) + 1e-6 * torch.randn(4, 20, 2)
    sequence = normaliser(x, torch.ones(4, 20, dtype=torch.bool)).sequence
    assert sequence.abs().max() < 1e-2


@pytest.mark.parametrize("kind", SCALING)
def test_scale_and_level_are_removed_and_absent_steps_do_not_count(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "VARIANCE_FLOOR", 1e-9)
    normaliser = build_normaliser(NormaliserConfig(kind=kind), 1, 20, 8)  # type: ignore[arg-type]
    x = torch.randn(1, 20, 1).double().float()
    mask = torch.ones(1, 20, dtype=torch.bool)
    mask[0, :6] = False
    moved = torch.where(mask[..., None], 3 * x + 5, 0.0)
    original = torch.where(mask[..., None], x, 0.0)
    torch.testing.assert_close(
        normaliser(moved, mask).sequence[:, 12:], normaliser(original, mask).sequence[:, 12:], atol=1e-3, rtol=1e-3
    )


def test_a_slice_as_long_as_the_window_is_the_z_score_of_the_window() -> None:
    x = torch.randn(3, 20, 2)
    expected = (x - x.mean(dim=1, keepdim=True)) / (x.var(dim=1, unbiased=False, keepdim=True) + VARIANCE_FLOOR).sqrt()
    found = SAN(2, 20, 8, 20, 4)(x, torch.ones(3, 20, dtype=torch.bool)).sequence
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    # The last step of a trailing window over everything is the same, whatever the mixture weighs.
    last = MultiWindow(2, 20, 8, (20, 40))(x, torch.ones(3, 20, dtype=torch.bool)).sequence[:, -1]
    torch.testing.assert_close(last, expected[:, -1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_knows_nothing_of_the_others(kind: str) -> None:
    normaliser = build_normaliser(NormaliserConfig(kind=kind), 2, 20, 8)  # type: ignore[arg-type]
    x = torch.randn(5, 20, 2)
    mask = torch.ones(5, 20, dtype=torch.bool)
    alone = normaliser(x[:1], mask[:1]).sequence
    other = x.clone()
    other[1:] *= 100
    torch.testing.assert_close(normaliser(other, mask).sequence[:1], alone)
