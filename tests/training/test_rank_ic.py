import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from atft_pipeline.training.rank_ic import average_ranks, daily_rank_ic, newey_west, summarise


@given(seed=st.integers(0, 1000), levels=st.integers(2, 50))
def test_rank_ic_is_scipys_with_ties_and_masks(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    score = rng.integers(0, levels, (4, 30)).astype(np.float32)
    label = rng.integers(0, levels, (4, 30)).astype(np.float32)
    mask = rng.random((4, 30)) < 0.8
    ours = daily_rank_ic(torch.tensor(score), torch.tensor(label), torch.tensor(mask))
    ranks = average_ranks(torch.tensor(score), torch.tensor(mask))
    for day in range(4):
        np.testing.assert_allclose(ranks[day][mask[day]], rankdata(score[day][mask[day]]))
        expected = spearmanr(score[day][mask[day]], label[day][mask[day]]).statistic
        assert float(ours[day]) == pytest.approx(expected, abs=1e-5)


def test_foresight_is_one_anti_foresight_minus_one_constant_undefined() -> None:
    label = torch.randn(3, 20)
    mask = torch.ones(3, 20, dtype=torch.bool)
    assert torch.allclose(daily_rank_ic(label.exp(), label, mask), torch.ones(3), atol=1e-5)
    assert torch.allclose(daily_rank_ic(-label, label, mask), -torch.ones(3), atol=1e-5)
    assert daily_rank_ic(torch.zeros(3, 20), label, mask).isnan().all()
    assert daily_rank_ic(label, label, mask & (torch.arange(20) < 2)).isnan().all()


def test_newey_west_is_statsmodels() -> None:
    import statsmodels.api as sm

    series = np.random.default_rng(1).standard_normal(200).cumsum() * 0.1
    model = sm.OLS(series, np.ones(200)).fit(cov_type="HAC", cov_kwds={"maxlags": 5, "use_correction": False})
    assert newey_west(series, 5) == pytest.approx(float(model.bse[0]), rel=1e-9)
    assert np.isnan(newey_west(series[:1], 5))


def test_summary_leaves_undefined_days_out() -> None:
    daily = np.array([[0.1, 0.2], [0.3, np.nan], [np.nan, np.nan]])
    summary = summarise(daily, (1, 5))
    assert summary.mean == {1: pytest.approx(0.2), 5: pytest.approx(0.2)}
    assert summary.average == pytest.approx(0.2)
    assert summary.days == 2
