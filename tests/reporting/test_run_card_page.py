import math
from pathlib import Path

from atft_pipeline.reporting.run_card_page import card_page
from atft_pipeline.training.config import OptimizerConfig, PhaseConfig, ScheduleConfig, TrainingConfig
from atft_pipeline.training.optim.schedules import planned_rates
from tests.training.runs import market, run


def test_the_page_says_what_was_active_and_limits_in_red(tmp_path: Path) -> None:
    panel, graphs = market(tmp_path, days=80)
    result = run(panel, graphs, tmp_path / "a", epochs=2)
    page = card_page(result.run_card, result.history)
    assert "Everything that was asked for was active." in page
    assert "torch.optim.adamw.AdamW" in page
    assert page.count("<td>main</td>") == 2
    assert 'class="bad"' not in page
    for name, count in result.run_card["model"]["blocks"].items():
        share = count / result.run_card["model"]["parameters"]
        assert f'<td>{name}</td>\n<td class="n">{count:,}</td>\n<td class="n">{share:.1%}</td>' in page
    limited = run(panel, graphs, tmp_path / "b", epochs=1, max_batches=1)
    page = card_page(limited.run_card, limited.history)
    assert '<p class="bad">training.max_batches: only 1 of' in page
    assert '<dd class="bad">yes</dd>' in page


def test_every_rank_ic_bears_its_error_and_every_checkpoint_its_epoch(tmp_path: Path) -> None:
    panel, graphs = market(tmp_path, days=80)
    result = run(panel, graphs, tmp_path / "run", epochs=2)
    card = result.run_card
    page = card_page(card, result.history)
    for record in result.history:
        for name in (f"val_rank_ic{part}" for part in ("", *(f"_{h}" for h in panel.meta.horizons))):
            assert f"<td>{record[name]:.4f} ± {record[f'{name}_se']:.4f}</td>" in page
    best = result.history[card["result"]["best_epoch"] - 1]
    shown = f"{best['val_rank_ic']:.4f} ± {best['val_rank_ic_se']:.4f}"
    assert f"<dt>val_rank_ic</dt><dd>{shown}</dd>" in page
    assert f"<dd>epoch {best['epoch']}: {shown}" in page
    # One layer: no kernel for attention ran, and both places say why.
    assert page.count("which needs no attention kernel") == 2
    undefined = card_page({**card, "result": {**card["result"], "val_rank_ic": math.nan, "kept": []}}, [])
    assert "<dt>val_rank_ic</dt><dd>–</dd>" in undefined


def test_names_are_escaped() -> None:
    assert "<script>" not in card_page({"warnings": ["<script>"], "model": {"<script>": "<script>"}}, [])


def test_planned_rates_are_those_of_the_steps(tmp_path: Path) -> None:
    """Phase by phase and step by step: the plan that is drawn is the plan that is trained."""
    panel, graphs = market(tmp_path, days=80)
    rates: list[float] = []
    from atft_pipeline.training import epoch

    original = epoch.optimizer_step

    def watched(*arguments: object) -> object:
        found = original(*arguments)  # type: ignore[arg-type]
        rates.append(found[0])
        return found

    epoch.optimizer_step = watched  # type: ignore[assignment]
    phases = (PhaseConfig(name="a", epochs=1), PhaseConfig(name="b", epochs=2, lr_factor=0.1))
    try:
        settings = {
            "optimizer": OptimizerConfig(lr=1e-2),
            "schedule": ScheduleConfig(name="cosine_restarts"),
        }
        result = run(panel, graphs, tmp_path / "run", epochs=None, phases=phases, patience=0, **settings)
    finally:
        epoch.optimizer_step = original
    plan = TrainingConfig(epochs=None, phases=phases, **settings)  # type: ignore[arg-type]
    assert rates == planned_rates(plan, result.run_card["optimizer"]["epoch_ends"])
    assert max(rates[len(rates) // 3 :]) <= 0.1 * max(rates) + 1e-12
