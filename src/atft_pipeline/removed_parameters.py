"""Parameters that earlier versions had, and what a user does instead.

A removed key stays in nobody's way: it is refused like any unknown key, but the message says what replaced it.
"""

REMOVED: dict[str, str] = {
    "EvaluationConfig.rivals": "the model is compared with LightGBM and ridge",
    "EvaluationConfig.benchmarks": "the model is compared with LightGBM and ridge",
    "EvaluationConfig.blends": "the model is blended with LightGBM and with ridge",
    "EvaluationConfig.min_group": "it is the constant MIN_GROUP in evaluation/slice_report.py",
    "EvaluationConfig.size_groups": "it is the constant GROUPS in evaluation/slice_report.py",
    "EvaluationConfig.groups": "it is the constant GROUPS in stats/overfitting.py",
    "EvaluationConfig.seed": "the random baseline has one seed",
    "EvaluationConfig.ridge": "its penalties are the constant PENALTIES in baselines/ridge.py",
    "EvaluationConfig.bootstrap": "it is set by the constants DRAWS and LEVEL in stats/bootstrap.py",
    "LightGBMConfig.feature_share": "it is the constant FEATURE_SHARE in baselines/lightgbm.py",
    "LightGBMConfig.row_share": "it is the constant ROW_SHARE in baselines/lightgbm.py",
    "LightGBMConfig.l2": "it is the constant L2 in baselines/lightgbm.py",
    "LightGBMConfig.max_validation_rows": "evaluation.lightgbm.max_rows bounds the validation rows too",
    "LightGBMConfig.threads": "LightGBM gets the cores of the process (taskset sets them)",
    "LightGBMConfig.seed": "the trees have one seed",
    "PortfolioConfig.books": "every kind of portfolio is built",
    "PortfolioConfig.kinds": "every kind of portfolio is built",
    "PortfolioConfig.top_k": "use evaluation.top_k",
    "PortfolioConfig.scores": "portfolios of the model, LightGBM and ridge are built",
    "PortfolioConfig.participation": "it is the constant PARTICIPATION in evaluation/portfolio/report.py",
    "PortfolioConfig.sessions_a_year": "it is the constant SESSIONS_A_YEAR in evaluation/plausibility.py",
    "PortfolioConfig.max_session_return": "it is the constant MAX_SESSION_RETURN in evaluation/plausibility.py",
    "PortfolioConfig.max_annual_return": "it is the constant MAX_ANNUAL_RETURN in evaluation/plausibility.py",
    "WalkForwardConfig.embargo": "use split.embargo",
    "WalkForwardConfig.groups": "use walk_forward.folds, the contiguous parts of the days",
    "EvaluationConfig.styles": "it selected nothing: the styles of the report are always computed from the prices",
    "LossConfig.mse": "use loss.huber, which is squared up to one unit of the target",
    "LossConfig.listnet": "use loss.rank_ic or loss.spearman",
    "LossConfig.day_book": "use loss.sharpe",
    "LossConfig.collapse": "a training whose scores collapse stops by itself",
    "LossConfig.spread_floor": "it is the constant SPREAD_FLOOR in losses/composite.py",
    "LossConfig.huber_delta": "it is the constant HUBER_DELTA in losses/base.py",
    "LossConfig.rank": "loss.rank_ic takes straight-through ranks and loss.spearman pairwise ones",
    "LossConfig.sharpe_days": "it is the constant SHARPE_DAYS in losses/composite.py",
    "LossConfig.min_listings": "it is the constant MIN_LISTINGS in losses/composite.py",
    "NormaliserConfig.slice_length": "it is the constant SLICE_LENGTH in model/normaliser.py",
    "NormaliserConfig.windows": "it is the constant WINDOWS in model/normaliser.py",
    "NormaliserConfig.variance_floor": "it is the constant VARIANCE_FLOOR in model/moments.py",
    "GraphAttentionConfig.edge_dropout": "use model.graph.dropout, which drops attention weights",
    "GraphAttentionConfig.gate_floor": "it is the constant GATE_FLOOR in model/graph_attention.py",
    "OptimizerConfig.eps": "it is the constant EPS in training/optim/optimizers.py",
    "OptimizerConfig.fused": "the fused kernel is taken where the device offers it",
    "ScheduleConfig.first_period": "it is the constant FIRST_PERIOD in training/optim/schedules.py",
    "ScheduleConfig.period_factor": "it is the constant PERIOD_FACTOR in training/optim/schedules.py",
    "TrainingConfig.min_delta": "any higher validation RankIC counts as better",
    "TrainingConfig.keep_states": "the last two states are kept (KEEP_STATES in training/checkpoint/state.py)",
    "TrainingConfig.save_minutes": "it is the constant SAVE_MINUTES in training/trainer.py",
    "ResidencyConfig.device_budget": "it is the constant DEVICE_SHARE in panel/resident.py",
    "ResidencyConfig.host_budget": "name residency.mode, or change the constant HOST_GIB in panel/resident.py",
    "AuditConfig.cuts": "it is the constant CUTS in audit/audit.py",
    "AuditConfig.after": "it is the constant AFTER in audit/audit.py",
    "AuditConfig.score_days": "it is the constant SCORE_DAYS in audit/audit.py",
    "AuditConfig.seed": "it is the constant SEED in audit/audit.py",
    **{
        f"CleaningConfig.{rule}": f"name {rule} in the list ingest.cleaning.skip to switch the rule off"
        for rule in (
            *("not_finite", "zero_prices", "duplicate_keys", "conflicting_keys", "holiday_sessions", "crossed_range"),
            *("outside_range", "long_gaps", "impossible_moves", "one_day_ticks", "split_candidates"),
        )
    },
    "CleaningConfig.undone_ticks": "leave undone_ticks out of the list ingest.cleaning.skip to switch the rule on",
    "CleaningConfig.holiday_share": "it is the constant HOLIDAY_FRACTION in prices/cleaning/calendar.py",
    "CleaningConfig.holiday_window": "it is the constant HOLIDAY_WINDOW in prices/cleaning/calendar.py",
    "CleaningConfig.range_tolerance": "it is the constant RANGE_TOLERANCE in prices/cleaning/rules.py",
    "CleaningConfig.gap_sessions": "it is the constant LONG_GAP in prices/cleaning/rules.py",
    "CleaningConfig.impossible_factor": "it is the constant IMPOSSIBLE in prices/cleaning/moves.py",
    "CleaningConfig.tick_return": "it is the constant JUMP in prices/cleaning/rules.py",
    "CleaningConfig.tick_volume": "it is the constant QUIET_VOLUME in prices/cleaning/rules.py",
    "CleaningConfig.tick_window": "it is the constant USUAL_SESSIONS in prices/cleaning/rules.py",
    "CleaningConfig.split_tolerance": "it is the constant SPLIT_TOLERANCE in prices/cleaning/rules.py",
    "PricesConfig.latest_date": "dates after tomorrow by this machine's clock are refused",
    "PricesConfig.minimum_codes": "it is the constant MIN_CODES in prices/reading/read.py",
    "PricesConfig.minimum_days": "it is the constant MIN_DAYS in prices/reading/read.py",
    "PreparedConfig.enabled": "a table is taken as prepared where ingest.prepared.returns names its returns",
    "UniverseConfig.dollar_volume_window": "it is the constant DOLLAR_VOLUME_WINDOW in prices/universe.py",
    "UniverseConfig.fund_window": "it is the constant FUND_WINDOW in prices/universe.py",
    "UniverseConfig.fund_correlation": "it is the constant FUND_CORRELATION in prices/universe.py",
    "UniverseConfig.fund_volatility": "it is the constant FUND_VOLATILITY in prices/universe.py",
    "FeaturesConfig.block_cells": "it is the constant BLOCK_CELLS in features/build.py",
    "FeaturesConfig.span_rows": "it is the constant SPAN_ROWS in features/build.py",
    "FeaturesConfig.workers": "there is one thread a core",
    "GraphConfig.block": "it is the constant BLOCK in graphs/build.py",
    "PredictConfig.min_share": "it is called min_delivered, as that of ingest",
    "SampleMarketConfig.first_date": "it is the constant FIRST_DATE in synthetic/market.py",
    "SampleMarketConfig.partial_share": "it is the constant PARTIAL_FRACTION in synthetic/market.py",
    "SampleMarketConfig.dirt": "sample_market.noise multiplies the usual number of broken rows",
    "SignalConfig.own_memory": "it is the constant OWN_MEMORY in synthetic/market.py",
    "SignalConfig.neighbour_memory": "it is the constant NEIGHBOUR_MEMORY in synthetic/market.py",
    "SignalConfig.shortest_period": "it is in the constant CYCLE_PERIODS in synthetic/market.py",
    "SignalConfig.longest_period": "it is in the constant CYCLE_PERIODS in synthetic/market.py",
    "HpoConfig.heartbeat": "they are the constants BEAT, GRACE (tuning/database.py) and RETRIES (tuning/storage.py)",
    "HpoConfig.time_limit": "it is the constant TIME_LIMIT in tuning/limits.py",
    "HpoConfig.oom_retries": "it is the constant HALVINGS in training/memory.py",
    "HpoConfig.resamples": "it is the constant RESAMPLES in tuning/report.py",
    "HpoConfig.acceptance": "they are the constants of tuning/acceptance.py",
    "BenchmarkConfig.device": "the device at hand is measured; python -m atft_pipeline.benchmark takes --device",
    "BenchmarkConfig.steps": "it is the constant STEPS in benchmark/report.py",
}
"""Advice by ``ConfigClass.key``, the class that had the key: a plain sentence that names what replaces it."""


def advice(group: str, key: str) -> str | None:
    """What to do instead of a removed key of a configuration class; ``None`` where it never was one.

    Args:
        group: name of the class, such as ``LossConfig``.
        key: the unknown key.
    """
    found = REMOVED.get(f"{group}.{key}")
    return None if found is None else f"is no longer a parameter; {found}"
