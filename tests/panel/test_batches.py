import numpy as np
import pytest
import torch

from atft_pipeline.errors import ConfigError, UnavailableError
from atft_pipeline.panel.batches import BatchConfig, DayBatch, DayBatches
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidencyConfig, ResidentPanel
from tests.panel.market import RingGraphs, make_panel

CONFIG = BatchConfig(window=6, batch_size=32, bucket=8, min_history=3, min_listings=2)


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Panel:
    return make_panel(tmp_path_factory.mktemp("panel"))


@pytest.fixture(scope="module")
def resident(panel: Panel) -> ResidentPanel:
    return ResidentPanel.load(panel, ResidencyConfig(mode="host"))


def batches(
    resident: ResidentPanel, *, shuffle: bool = False, config: BatchConfig = CONFIG, seed: int = 3
) -> DayBatches:
    graphs = RingGraphs(resident.panel)
    return DayBatches(resident, graphs, range(60), config, shuffle=shuffle, seed=seed)


def row_of(panel: Panel, day: int, listing: int) -> int | None:
    found = np.flatnonzero(panel.day(day).listing == listing)
    return int(found[0]) if len(found) else None


def test_every_value_comes_from_its_own_day_and_listing(resident: ResidentPanel) -> None:
    panel = resident.panel
    graphs = RingGraphs(panel)
    for batch in batches(resident).epoch():
        for place, day in enumerate(batch.days.tolist()):
            if day < 0:
                assert not batch.mask[place].any()
                continue
            order = batch.listing[place].tolist()
            for row, listing in enumerate(order):
                if listing < 0:
                    assert not batch.mask[place, row]
                    continue
                own = row_of(panel, day, listing)
                assert own is not None
                assert panel.day(day).universe[own]
                for step in range(6):
                    then = day - 5 + step
                    source = row_of(panel, then, listing)
                    assert batch.step_mask[place, row, step] == (source is not None)
                    expected = np.zeros(4) if source is None else panel.day(then).features[source]
                    np.testing.assert_array_equal(batch.features[place, row, step].numpy(), expected)
                label = panel.day(day).targets[own]
                assert batch.label_mask[place, row].tolist() == np.isfinite(label).tolist()
                np.testing.assert_array_equal(batch.targets[place, row].numpy(), np.nan_to_num(label))
                month = int(graphs.month_of_day[day])
                wanted = graphs.neighbors(month)[listing].tolist() if month >= 0 else [-1] * 3
                inside = [order.index(other) if other in order and other >= 0 else -1 for other in wanted]
                assert batch.neighbors[place, row].tolist() == inside


def test_each_sample_once_and_none_without_history(resident: ResidentPanel) -> None:
    panel = resident.panel
    seen = [
        (day, listing)
        for batch in batches(resident, shuffle=True).epoch(2)
        for place, day in enumerate(batch.days.tolist())
        for listing in batch.listing[place].tolist()
        if listing >= 0
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


def test_shapes_are_static(resident: ResidentPanel) -> None:
    shapes = {tuple(batch.features.shape) for batch in batches(resident, shuffle=True).epoch()}
    assert all(shape[1] % 8 == 0 for shape in shapes)
    assert all(shape[0] * shape[1] == 32 for shape in shapes)
    assert len(shapes) <= 2


def test_a_day_larger_than_a_batch_is_subsampled_with_its_graph(resident: ResidentPanel) -> None:
    small = BatchConfig(window=6, batch_size=5, bucket=1, min_history=3, min_listings=2)
    for batch in batches(resident, shuffle=True, config=small).epoch():
        assert int(batch.mask.sum()) <= 5
        assert batch.listing.shape == (1, 5)
        assert int(batch.neighbors.max()) < 5
    whole = batches(resident, config=small)
    assert sum(int(batch.mask.sum()) for batch in whole.epoch()) == whole.samples


def test_streamed_batches_equal_resident_ones(panel: Panel, resident: ResidentPanel) -> None:
    streamed = ResidentPanel.load(panel, ResidencyConfig(mode="mmap"))
    with pytest.raises(UnavailableError, match="streamed"):
        _ = streamed.features
    for one, two in zip(batches(resident).epoch(), batches(streamed).epoch(), strict=True):
        for name in DayBatch.__dataclass_fields__:
            first, second = getattr(one, name), getattr(two, name)
            if name == "features":
                first, second = first * one.mask[:, :, None, None], second * one.mask[:, :, None, None]
            assert torch.equal(torch.as_tensor(first), torch.as_tensor(second)), name


def test_padding_reaches_no_mask(resident: ResidentPanel) -> None:
    for batch in batches(resident).epoch():
        padding = batch.listing < 0
        assert not batch.step_mask[padding].any()
        assert not batch.label_mask[padding].any()
        assert (batch.neighbors[padding] == -1).all()
        assert (batch.targets[padding] == 0).all()


def test_residency_has_a_reason_or_raises(panel: Panel) -> None:
    assert ResidentPanel.load(panel, ResidencyConfig()).choice.value == "host"
    tight = ResidentPanel.load(panel, ResidencyConfig(host_budget=0.0))
    assert tight.choice.value == "mmap"
    assert "exceed" in tight.choice.reason
    with pytest.raises(UnavailableError, match=r"residency\.mode: device"):
        ResidentPanel.load(panel, ResidencyConfig(mode="device"))


def test_no_day_left_is_one_line(resident: ResidentPanel) -> None:
    with pytest.raises(ConfigError, match=r"lower batches\.min_listings"):
        DayBatches(resident, None, range(4), CONFIG, shuffle=False, seed=0)
    with pytest.raises(ConfigError, match="min_history: must not exceed window 5"):
        BatchConfig(window=5, min_history=6)
