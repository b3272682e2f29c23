from atft_pipeline.reporting.folds_table import folds_table


def fold(number: int, mean: float | None) -> dict:
    value = {"mean": mean, "se": None if mean is None else 0.01, "n_days": 20}
    ridge = {"mean": 0.02, "se": 0.005, "n_days": 20}
    return {
        "fold": number,
        "train": ["2020-01-02", "2021-08-17"],
        "train_days": 422,
        "test": ["2022-03-02", "2022-05-31"],
        "rank_ic": {str(horizon): {"model": value, "ridge": ridge} for horizon in (1, 5, 10, 20)},
    }


def test_rows_are_whole_and_narrow() -> None:
    text = folds_table([fold(1, 0.19), fold(2, None)], [{}])
    lines = text.splitlines()
    assert all(len(line) <= 118 and "…" not in line for line in lines)
    (first,) = [line for line in lines if "model" in line and "+0.1900±0.0100" in line]
    assert "2022-03-02 .. 2022-05-31" in first
    assert first.count("+0.1900±0.0100") == 4
    assert sum("+0.0200±0.0050" in line for line in lines) == 2
    assert sum(line.count("–") for line in lines) == 4
    assert not any("lightgbm" in line for line in lines)


def test_a_baseline_has_its_row_where_it_was_fitted() -> None:
    known = fold(1, 0.19)
    for scores in known["rank_ic"].values():
        scores["lightgbm"] = {"mean": 0.03, "se": 0.005, "n_days": 20}
    (row,) = [line for line in folds_table([known], [{}]).splitlines() if "lightgbm" in line]
    assert row.count("+0.0300±0.0050") == 4


def test_paths_are_summed_up() -> None:
    paths = [fold(1, mean)["rank_ic"] for mean in (0.1, 0.2, 0.3)]
    text = folds_table([fold(1, 0.2)], paths)
    assert (
        " 5 sessions: RankIC over 3 paths +0.2000, standard deviation 0.1000, lowest +0.1000, highest +0.3000" in text
    )
