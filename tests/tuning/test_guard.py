from dataclasses import replace
from pathlib import Path

import pytest
import torch

from atft_pipeline.errors import ConfigError
from atft_pipeline.panel.config import ResidencyConfig
from atft_pipeline.panel.resident import ResidentPanel
from atft_pipeline.splits.split import single_split
from atft_pipeline.tuning.guard import blank_test_days, refuse_test_days, without_test
from tests.panel.market import make_panel
from tests.training.runs import SPLIT


def test_trials_get_a_split_without_test_days(tmp_path: Path) -> None:
    panel = make_panel(tmp_path, days=120)
    whole = single_split(panel.dates, SPLIT, panel.meta.label_span)
    apart = without_test(whole, panel)
    assert (apart.train, apart.validation, apart.test) == (whole.train, whole.validation, ())


def test_a_day_of_the_test_is_refused_by_its_date(tmp_path: Path) -> None:
    panel = make_panel(tmp_path, days=120)
    whole = single_split(panel.dates, SPLIT, panel.meta.label_span)
    first = whole.test[0]
    with pytest.raises(ConfigError, match=f"session {panel.dates[first]} .*belongs to the test"):
        refuse_test_days([first], whole, panel, "validation")


def test_a_day_whose_label_reaches_the_test_is_refused(tmp_path: Path) -> None:
    panel = make_panel(tmp_path, days=120)
    whole = single_split(panel.dates, SPLIT, panel.meta.label_span)
    near = whole.test[0] - panel.meta.label_span
    refuse_test_days([near - 1], whole, panel, "validation")
    with pytest.raises(ConfigError, match="validation"):
        without_test(replace(whole, validation=(*whole.validation, near)), panel)


def test_the_panel_of_the_trials_holds_nothing_of_the_test(tmp_path: Path) -> None:
    panel = make_panel(tmp_path, days=120)
    whole = single_split(panel.dates, SPLIT, panel.meta.label_span)
    resident = ResidentPanel.load(panel, ResidencyConfig())
    before = resident.features.clone(), resident.returns.clone()
    blank_test_days(resident, whole)
    test, rest = list(whole.test), list(range(whole.test[0]))
    assert torch.isnan(resident.returns[test]).all()
    assert torch.isnan(resident.targets[test]).all()
    assert not resident.universe[test].any()
    assert not resident.features[test].any()
    assert torch.equal(resident.features[rest], before[0][rest])
    assert torch.equal(resident.returns[rest].nan_to_num(), before[1][rest].nan_to_num())
