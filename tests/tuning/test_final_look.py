"""The winner is looked at on the test days once."""

from pathlib import Path

import pytest

from atft_pipeline.training.experiment import MarketData
from atft_pipeline.tuning import final_look
from atft_pipeline.tuning.final_look import look_at_test
from tests.tuning.studies import BASE, load, search_config, worker


def test_the_test_is_looked_at_once_and_the_look_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, whole = load(tmp_path / "market")
    made = worker(data, search_config(1, epochs=1), tmp_path)
    made.run()
    (winner,) = made.trials()
    folder = made.objective.checkpoints(winner.number)
    arguments = (MarketData(data.market.panel, data.market.graphs), whole, BASE.runtime)
    first = look_at_test(made.shared, winner, folder, *arguments)
    assert first["looks"] == 1
    # The panel of this market carries a signal, on its test days too.
    assert first["rank_ic"] > 0.3
    assert set(first["horizons"]) == {"1", "5"}

    def refuse(*_: object) -> None:
        pytest.fail("looked twice")

    monkeypatch.setattr(final_look, "_measure", refuse)
    assert look_at_test(made.shared, winner, folder, *arguments) == first


def test_a_winner_whose_weights_lie_elsewhere_is_not_evaluated(tmp_path: Path) -> None:
    data, whole = load(tmp_path / "market")
    made = worker(data, search_config(1, epochs=1), tmp_path)
    made.run()
    unseen = MarketData(data.market.panel, data.market.graphs)
    found = look_at_test(made.shared, made.trials()[0], tmp_path / "none", unseen, whole, BASE.runtime)
    assert found == {"looks": 0, "note": "the weights of trial 0 are not on this machine"}
