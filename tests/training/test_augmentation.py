from pathlib import Path

import pytest
import torch

from atft_pipeline.panel.batches import DayBatches
from atft_pipeline.panel.config import ResidencyConfig
from atft_pipeline.panel.day_batch import DayBatch
from atft_pipeline.panel.resident import ResidentPanel
from atft_pipeline.training.augmentation import augment
from atft_pipeline.training.config import AugmentationConfig
from tests.panel.market import make_panel
from tests.training.runs import BATCHES


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> DayBatch:
    folder: Path = tmp_path_factory.mktemp("panel")
    resident = ResidentPanel.load(make_panel(folder, days=60, listings=20), ResidencyConfig())
    batches = DayBatches(resident, None, range(20, 50), BATCHES, shuffle=True, seed=1)
    return next(found for found in batches.epoch() if found.real_days > 1)


def test_nothing_asked_nothing_changed(batch: DayBatch) -> None:
    seen = augment(batch, AugmentationConfig())
    assert torch.equal(seen.features, batch.inputs())
    assert torch.equal(seen.mask, batch.mask)


def test_each_kind_changes_what_it_says(batch: DayBatch) -> None:
    torch.manual_seed(0)
    masked = augment(batch, AugmentationConfig(feature_mask=0.5)).features
    # One draw a day: a feature is hidden in all windows of the day or in none.
    hidden = [(masked[batch.row == day] == 0).all(dim=(0, 1)) for day in range(batch.real_days)]
    kept = [(masked[batch.row == day] != 0).any(dim=(0, 1)) for day in range(batch.real_days)]
    assert all((one ^ other).all() for one, other in zip(hidden, kept, strict=True))
    assert 0 < torch.stack(hidden).float().mean() < 1
    noisy = augment(batch, AugmentationConfig(noise=0.3)).features - batch.inputs()
    assert noisy.std().item() == pytest.approx(0.3, rel=0.05)
    fewer = augment(batch, AugmentationConfig(listing_dropout=0.3))
    assert (fewer.mask <= batch.mask).all()
    assert 0.5 < fewer.mask.sum() / batch.mask.sum() < 0.9
