"""Parameters that earlier versions had, and what a user does instead.

A removed key stays in nobody's way: it is refused like any unknown key, but the message says what replaced it.
"""

REMOVED: dict[str, str] = {
    "EvaluationConfig.rivals": "it is called benchmarks",
    "PortfolioConfig.books": "it is called kinds",
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
