from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from atft_pipeline.errors import ConfigError, UnavailableError
from atft_pipeline.panel import resident as resident_module
from atft_pipeline.panel.batches import DayBatches
from atft_pipeline.panel.config import BatchConfig, ResidencyConfig
from atft_pipeline.panel.day_batch import DayBatch
from atft_pipeline.panel.packing import pack
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidentPanel
from tests.panel.market import RingGraphs, make_panel

CONFIG = BatchConfig(window=6, batch_size=32, min_history=3, min_listings=2)


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Panel:
    return make_panel(tmp_path_factory.mktemp("panel"))


@pytest.fixture(scope="module")
def resident(panel: Panel) -> ResidentPanel:
    return ResidentPanel.load(panel, ResidencyConfig(mode="host"))


def batches(
    resident: ResidentPanel,
    *,
    shuffle: bool = False,
    config: BatchConfig = CONFIG,
    seed: int = 3,
    fixed: bool = False,
) -> DayBatches:
    graphs = RingGraphs(resident.panel)
    return DayBatches(resident, graphs, range(60), config, shuffle=shuffle, seed=seed, fixed=fixed)


def row_of(panel: Panel, day: int, listing: int) -> int | None:
    found = np.flatnonzero(panel.day(day).listing == listing)
    return int(found[0]) if len(found) else None


def test_every_value_comes_from_its_own_day_and_listing(resident: ResidentPanel) -> None:
    panel = resident.panel
    graphs = RingGraphs(panel)
    for batch in batches(resident, shuffle=True, fixed=True).epoch():
        listings, rows = batch.listing.tolist(), batch.row.tolist()
        for place, (listing, row) in enumerate(zip(listings, rows, strict=True)):
            if listing < 0:
                assert not batch.mask[place]
                continue
            day = int(batch.days[row])
            own = row_of(panel, day, listing)
            assert own is not None
            assert panel.day(day).universe[own]
            for step in range(6):
                then = day - 5 + step
                source = row_of(panel, then, listing)
                assert batch.step_mask[place, step] == (source is not None)
                expected = np.zeros(4) if source is None else panel.day(then).features[source]
                np.testing.assert_array_equal(batch.features[place, step].numpy(), expected)
            label = panel.day(day).targets[own]
            assert batch.label_mask[place].tolist() == np.isfinite(label).tolist()
            np.testing.assert_array_equal(batch.targets[place].numpy(), np.nan_to_num(label))
            month = int(graphs.month_of_day[day])
            wanted = graphs.neighbors(month)[listing].tolist() if month >= 0 else [-1] * 3
            together = {other: number for number, other in enumerate(listings) if rows[number] == row and other >= 0}
            assert batch.neighbors[place].tolist() == [together.get(other, -1) for other in wanted]


def test_each_sample_once_and_none_without_history(resident: ResidentPanel) -> None:
    panel = resident.panel
    seen = [
        (int(batch.days[row]), listing)
        for batch in batches(resident, shuffle=True).epoch(2)
        for row, listing in zip(batch.row.tolist(), batch.listing.tolist(), strict=True)
    ]
    assert len(seen) == len(set(seen)) == batches(resident).samples
    late = panel.listings.index("L03")
    assert min(day for day, listing in seen if listing == late) >= 12
    gone = panel.listings.index("L05")
    assert max(day for day, listing in seen if listing == gone) < 30
    assert min(day for day, _ in seen) >= 5


def test_order_comes_from_seed_and_epoch(resident: ResidentPanel) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return [day for batch in batches(resident, shuffle=True, seed=seed).epoch(epoch) for day in batch.days.tolist()]

    assert order(3, 0) == order(3, 0)
    assert order(3, 0) != order(3, 1)
    assert order(3, 0) != order(4, 0)
    assert sorted(order(3, 0)) == sorted(order(3, 1))
    in_order = [day for batch in batches(resident).epoch() for day in batch.days.tolist()]
    assert in_order == sorted(in_order)


@pytest.mark.parametrize("shuffle", [True, False])
def test_fixed_batches_have_one_shape_and_padding_stands_at_the_end(resident: ResidentPanel, shuffle: bool) -> None:
    shapes = set()
    for epoch in range(3):
        for batch in batches(resident, shuffle=shuffle, fixed=True).epoch(epoch):
            shapes.add(tuple(tuple(tensor.shape) for tensor in batch.tensors()))
            assert batch.mask[: batch.real_samples].all()
            assert not batch.mask[batch.real_samples :].any()
            assert (batch.days[: batch.real_days] >= 0).all()
            assert (batch.days[batch.real_days :] == -1).all()
    assert len(shapes) == 1


def test_fixed_and_unpadded_batches_hold_the_same_samples(resident: ResidentPanel) -> None:
    free, fixed = (batches(resident, shuffle=True, fixed=fixed) for fixed in (False, True))
    for one, two in zip(free.epoch(1), fixed.epoch(1), strict=True):
        assert len(one.mask) == one.real_samples == two.real_samples
        for name in ("listing", "features", "step_mask", "targets", "label_mask", "neighbors", "edge_attr", "row"):
            assert torch.equal(getattr(one, name), getattr(two, name)[: one.real_samples]), name


def test_the_view_by_day_holds_each_sample_once_and_gives_gradients_back(resident: ResidentPanel) -> None:
    for batch in batches(resident, shuffle=True, fixed=True).epoch():
        value = torch.randn(len(batch.mask), 2, requires_grad=True)
        grid = batch.by_day(value)
        mask = batch.by_day(batch.mask)
        assert grid.shape == (len(batch.days), batch.width, 2)
        assert int(mask.sum()) == batch.real_samples
        for place in range(batch.real_days):
            rows = (batch.row == place) & batch.mask
            assert torch.equal(grid[place][mask[place]], value[rows])
            assert int(batch.first[place]) == int(rows.nonzero()[0])
        assert (grid[~mask] == 0).all()
        weight = torch.randn_like(grid)
        (gradient,) = torch.autograd.grad((grid * weight).sum(), value)
        assert torch.equal(gradient[batch.mask], weight[mask])
        assert (gradient[~batch.mask] == 0).all()


def test_a_day_larger_than_a_batch_is_subsampled_with_its_graph(resident: ResidentPanel) -> None:
    small = BatchConfig(window=6, batch_size=5, min_history=3, min_listings=2)
    for batch in batches(resident, shuffle=True, config=small, fixed=True).epoch():
        assert int(batch.mask.sum()) <= 5
        assert batch.real_days == 1
        assert len(batch.mask) == 5
        assert int(batch.neighbors.max()) < 5
    whole = batches(resident, config=small)
    assert sum(int(batch.mask.sum()) for batch in whole.epoch()) == whole.samples


@given(
    counts=st.lists(st.integers(1, 50), min_size=1, max_size=60),
    capacity=st.integers(50, 150),
    most_days=st.integers(1, 6),
    open_batches=st.integers(1, 8),
    length=st.integers(1, 4),
)
def test_packing_keeps_every_day_once_and_no_batch_overflows(
    counts: list[int], capacity: int, most_days: int, open_batches: int, length: int
) -> None:
    days = list(range(len(counts)))
    blocks = [days[start : start + length] for start in range(0, len(days), length)]
    packed = pack(blocks, dict(enumerate(counts)), capacity, most_days, open_batches)
    assert Counter(day for batch in packed for day in batch) == Counter(days)
    for batch in packed:
        assert sum(counts[day] for day in batch) <= capacity
        assert 0 < len(batch) <= most_days
    if open_batches == 1:
        assert [day for batch in packed for day in batch] == days
    if length <= most_days and length * max(counts) <= capacity:
        place = {day: number for number, batch in enumerate(packed) for day in batch}
        assert all(len({place[day] for day in block}) == 1 for block in blocks)


def test_a_batch_is_no_larger_than_its_days_fill(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Days of 30 listings in batches of at most 100: three fit, so ten places would stay empty in every batch."""
    panel = make_panel(tmp_path_factory.mktemp("even"), days=40, listings=30)
    resident = ResidentPanel.load(panel, ResidencyConfig(mode="host"))
    config = BatchConfig(window=4, batch_size=100, min_history=1, min_listings=2)
    packed = DayBatches(resident, None, range(40), config, shuffle=True, seed=0, fixed=True)
    assert packed.shape.samples <= 96
    assert packed.samples / (len(packed) * packed.shape.samples) > 0.85


def test_streamed_batches_equal_resident_ones(panel: Panel, resident: ResidentPanel) -> None:
    streamed = ResidentPanel.load(panel, ResidencyConfig(mode="mmap"))
    with pytest.raises(UnavailableError, match="streamed"):
        _ = streamed.features
    for one, two in zip(batches(resident).epoch(), batches(streamed).epoch(), strict=True):
        for name in DayBatch.__dataclass_fields__:
            assert torch.equal(torch.as_tensor(getattr(one, name)), torch.as_tensor(getattr(two, name))), name


def test_padding_reaches_no_mask(resident: ResidentPanel) -> None:
    for batch in batches(resident, fixed=True).epoch():
        padding = batch.listing < 0
        assert not batch.step_mask[padding].any()
        assert not batch.label_mask[padding].any()
        assert (batch.neighbors[padding] == -1).all()
        assert (batch.targets[padding] == 0).all()
        assert not (batch.neighbors >= batch.real_samples).any()


def test_residency_has_a_reason_or_raises(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ResidentPanel.load(panel, ResidencyConfig()).choice.value == "host"
    monkeypatch.setattr(resident_module, "HOST_GIB", 0.0)
    tight = ResidentPanel.load(panel, ResidencyConfig())
    assert tight.choice.value == "mmap"
    assert "exceed" in tight.choice.reason
    with pytest.raises(UnavailableError, match=r"residency\.mode: device"):
        ResidentPanel.load(panel, ResidencyConfig(mode="device"))


def test_no_day_left_is_one_line(resident: ResidentPanel) -> None:
    with pytest.raises(ConfigError, match=r"lower batches\.min_listings"):
        DayBatches(resident, None, range(4), CONFIG, shuffle=False, seed=0)
    with pytest.raises(ConfigError, match="min_history: must not exceed window 5"):
        BatchConfig(window=5, min_history=6)


def test_days_and_samples_are_known_before_a_batch_size_is(resident: ResidentPanel) -> None:
    """A baseline asks for the rows of a model whose batch size was measured: it needs no number."""
    auto = DayBatches(
        resident, None, range(60), BatchConfig(window=6, batch_size="auto", min_history=3), shuffle=False, seed=0
    )
    assert len(auto.samples_of(auto.days[0])) > 0
    with pytest.raises(ConfigError, match="auto is measured by a training"):
        auto.plan()
