import numpy as np
import pytest

from atft_pipeline.errors import ConfigError
from atft_pipeline.training.config import PhaseConfig, ScheduleConfig, TrainingConfig
from atft_pipeline.training.optim.schedules import learning_rate


def curve(config: ScheduleConfig, steps: int = 100, epoch_steps: int = 10, peak: float = 1e-3) -> np.ndarray:
    return np.array(
        [learning_rate(s, steps=steps, epoch_steps=epoch_steps, peak=peak, config=config) for s in range(steps)]
    )


def test_warmup_rises_linearly_then_cosine_falls_to_the_floor() -> None:
    values = curve(ScheduleConfig(name="warmup_cosine", warmup_share=0.1, eta_min=1e-5))
    np.testing.assert_allclose(values[:10], 1e-3 * np.arange(1, 11) / 10)
    assert np.all(np.diff(values[10:]) < 0)
    assert values[-1] == pytest.approx(1e-5)
    assert values[10 + 44] == pytest.approx((1e-3 + 1e-5) / 2, rel=0.03)


def test_restarts_follow_periods_of_3_6_12_epochs() -> None:
    config = ScheduleConfig(name="cosine_restarts", warmup_share=0.0, eta_min=5e-5)
    values = curve(config, steps=210)
    starts = [0, *(np.flatnonzero(np.diff(values) > 0) + 1).tolist()]
    assert starts == [0, 30, 90]
    assert values[starts] == pytest.approx([1e-3] * 3)
    assert values[29] == pytest.approx(5e-5, abs=5e-6)
    # torch's own scheduler, stepped by fractions of an epoch, is the reference.
    import torch

    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1e-3)
    reference = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=3, T_mult=2, eta_min=5e-5)
    expected = []
    for step in range(210):
        optimizer.step()
        reference.step(step / 10)
        expected.append(optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(values, expected, rtol=1e-9)


def test_one_cycle_peaks_once_and_constant_stays() -> None:
    values = curve(ScheduleConfig(name="one_cycle", warmup_share=0.3, eta_min=1e-6))
    top = int(values.argmax())
    assert 28 <= top <= 31
    assert np.all(np.diff(values[:top]) > 0)
    assert np.all(np.diff(values[top:]) < 0)
    assert values[-1] == pytest.approx(1e-6)
    assert set(curve(ScheduleConfig(name="constant"))) == {1e-3}


def test_floor_never_exceeds_the_peak() -> None:
    assert curve(ScheduleConfig(eta_min=1.0), peak=1e-3).max() <= 1e-3


def test_ranges_are_checked() -> None:
    with pytest.raises(ConfigError, match="warmup_share: must be from"):
        ScheduleConfig(warmup_share=1.0)


@pytest.mark.parametrize(
    ("lengths", "epochs", "expected"),
    [
        ((1, 1, 1, 1), 20, [5, 5, 5, 5]),
        ((1, 1, 1, 1), 2, [1, 1]),
        ((2, 2, 4, 2), 10, [2, 2, 4, 2]),
        ((1, 9), 3, [1, 2]),
        ((9, 1), 3, [2, 1]),
    ],
)
def test_phases_share_other_epochs_as_they_share_their_own(
    lengths: tuple[int, ...], epochs: int, expected: list[int]
) -> None:
    phases = tuple(PhaseConfig(name=str(place), epochs=length) for place, length in enumerate(lengths))
    found = TrainingConfig(epochs=None, phases=phases).with_epochs(epochs).plan
    assert [phase.epochs for phase in found] == expected
    assert found[-1].name == phases[-1].name
    assert TrainingConfig(epochs=7).with_epochs(epochs).epochs == epochs
