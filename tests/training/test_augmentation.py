from pathlib import Path

import pytest
import torch

from atft_pipeline.panel.batches import DayBatch, DayBatches
from atft_pipeline.panel.resident import ResidencyConfig, ResidentPanel
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
    for one, other in zip(seen[1:], (batch.mask, batch.targets, batch.returns, batch.label_mask), strict=True):
        assert torch.equal(one, other)


def test_each_kind_changes_what_it_says(batch: DayBatch) -> None:
    torch.manual_seed(0)
    masked = augment(batch, AugmentationConfig(feature_mask=0.5)).features
    hidden = (masked == 0).all(dim=(1, 2))
    assert 0 < hidden.float().mean() < 1
    noisy = augment(batch, AugmentationConfig(noise=0.3)).features - batch.inputs()
    assert noisy.std().item() == pytest.approx(0.3, rel=0.05)
    fewer = augment(batch, AugmentationConfig(listing_dropout=0.3))
    assert (fewer.mask <= batch.mask).all()
    assert 0.5 < fewer.mask.sum() / batch.mask.sum() < 0.9
    assert not fewer.label_mask[~fewer.mask].any()


def test_mixed_days_mix_the_same_listing_window_and_label_alike(batch: DayBatch) -> None:
    torch.manual_seed(0)
    seen = augment(batch, AugmentationConfig(mix_days=1.0))
    days = batch.real_days
    for day in range(days):
        for row in range(int(batch.mask[day].sum())):
            mine, found = batch.inputs()[day, row], seen.features[day, row]
            if torch.equal(mine, found):
                continue
            # Some other day holds the listing, and one share explains the window and every label.
            explained = False
            for other in set(range(days)) - {day}:
                place = (batch.listing[other] == batch.listing[day, row]).nonzero().flatten()
                if len(place) == 0:
                    continue
                theirs = batch.inputs()[other, place[0]]
                share = ((found - theirs) * (mine - theirs)).sum() / (mine - theirs).square().sum()
                mixed = share * mine + (1 - share) * theirs
                target = share * batch.targets[day, row] + (1 - share) * batch.targets[other, place[0]]
                known = seen.label_mask[day, row]
                if torch.allclose(mixed, found, atol=1e-4) and torch.allclose(
                    target[known], seen.targets[day, row][known], atol=1e-3
                ):
                    explained = 0.5 <= float(share) <= 1.0 + 1e-4
            assert explained
    assert not torch.equal(seen.features[:days], batch.inputs()[:days])
    assert (seen.label_mask <= batch.label_mask).all()
