"""The training loss: a weighted sum of terms, each measured within whole days, in float32.

Legend: B days, n listings, Q horizons, P quantiles.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from atft_pipeline.errors import ConfigError
from atft_pipeline.losses import base, masked, portfolio
from atft_pipeline.losses.config import LossConfig
from atft_pipeline.losses.ranks import SoftRank, hard_rank, pairwise_rank, straight_through_rank

# Market features have a standard normal distribution: about a third of it lies below -0.5, a third above 0.5.
REGIME_EDGE = 0.5
# A correlation over fewer listings than this is mostly chance, and its gradient with it.
MIN_LISTINGS = 5
# Days of the Sharpe ratio: a batch holds one to a few, whose own deviation says nothing; a month and a half does.
SHARPE_DAYS = 32
# Targets have spread 1 within a day: scores with a twentieth of it are reported as narrow.
SPREAD_FLOOR = 0.05


class ModelOutputProtocol(Protocol):
    """What the loss reads of a model's output; see :class:`atft_pipeline.model.atft_gat_fan.ModelOutput`."""

    @property
    def score(self) -> Tensor:
        """[B, n, Q]."""
        ...

    @property
    def quantiles(self) -> Tensor | None:
        """[B, n, Q, P]."""
        ...

    @property
    def student_t(self) -> Tensor | None:
        """[B, n, Q, 3]."""
        ...


class TermValue(NamedTuple):
    """A term: its value, mean over days and horizons, its weight, and their product."""

    value: Tensor
    weight: float
    weighted: Tensor


@dataclass(frozen=True)
class LossResult:
    """The loss of a batch.

    Attributes:
        total: scalar, the sum of the weighted terms.
        terms: every computed term by name.
        spread: scalar, mean spread of a day's scores over days and horizons; no gradient.
        narrow: scalar, share of days and horizons whose spread lies below ``SPREAD_FLOOR``; no gradient.
    """

    total: Tensor
    terms: dict[str, TermValue]
    spread: Tensor
    narrow: Tensor


@dataclass(frozen=True)
class LossInputs:
    """What the terms read of a batch: listings last. B days, Q horizons, n listings.

    Attributes:
        score: float32 [B, Q, n].
        target: float32 [B, Q, n].
        returns: float32 [B, Q, n].
        mask: bool [B, Q, n].
        quantiles: [B, Q, n, P] or ``None``.
        student_t: [B, Q, n, 3] or ``None``.
        days: int64 [B] day indices, -1 = padding.
        listing: int64 [B, n] listing indices, ascending within a day, -1 = padding.
    """

    score: Tensor
    target: Tensor
    returns: Tensor
    mask: Tensor
    quantiles: Tensor | None
    student_t: Tensor | None
    days: Tensor
    listing: Tensor


class CompositeLoss:
    """Sum of weighted terms.

    A term of a day and horizon is averaged over its labelled listings, then over the days that have enough of them,
    then over the horizons by their weights. Rows without a label contribute nothing, in value and in gradient.

    Args:
        config: weights and parameters.
        horizons: sessions ahead of each of the Q scores.
        levels: quantile levels of the model's quantile head, if it has one.

    Raises:
        ConfigError: a horizon weight names a horizon that is not predicted, or all weigh 0.
    """

    def __init__(self, config: LossConfig, horizons: tuple[int, ...], levels: tuple[float, ...] = ()) -> None:
        self.config = config
        self.levels = levels
        self.horizon_weights = torch.tensor(config.weights_of(horizons))
        self._past: Tensor | None = None
        self._constants: dict[tuple[str, torch.device], Tensor] = {}
        terms: dict[str, Callable[[LossInputs], Tensor]] = {
            "huber": lambda b: base.huber(b.score, b.target, b.mask),
            "quantile": self._quantile,
            "student_t": self._student_t,
            "rank_ic": lambda b: _rank_ic(b, straight_through_rank),
            "ic": lambda b: 1 - masked.correlation(b.score, b.target, b.mask),
            "spearman": lambda b: _rank_ic(b, pairwise_rank),
        }
        self._terms = {name: term for name, term in terms.items() if getattr(config, name)}

    def reset(self) -> None:
        """Forget the days before, at the start of an epoch."""
        self._past = None

    @property
    def memory(self) -> Tensor | None:
        """The portfolio's returns [SHARPE_DAYS - 1, Q] that the Sharpe term remembers, NaN where there are none yet.

        With it a resumed epoch equals an unbroken one.
        """
        return self._past

    def remember(self, past: Tensor | None) -> None:
        """Continue with the memory of another loss."""
        self._past = past

    def __call__(
        self,
        output: ModelOutputProtocol,
        targets: Tensor,
        returns: Tensor,
        label_mask: Tensor,
        *,
        days: Tensor | None = None,
        listing: Tensor | None = None,
        regime: Tensor | None = None,
    ) -> LossResult:
        """Measure a batch of whole days.

        Args:
            output: of the model.
            targets: [B, n, Q] training targets.
            returns: [B, n, Q] realised returns.
            label_mask: bool [B, n, Q].
            days: int64 [B] day indices, -1 = padding; needed by ``turnover_cost``.
            listing: int64 [B, n] listing indices, ascending within a day; needed by ``turnover_cost``.
            regime: [B, R] scores of the features of ``regime_weights`` in their order, where there are any.
        """
        listings_last = label_mask.transpose(1, 2)
        counted = listings_last.sum(dim=-1) >= MIN_LISTINGS  # [B, Q]
        batch = LossInputs(
            score=output.score.float().transpose(1, 2),
            target=targets.float().transpose(1, 2),
            returns=returns.float().transpose(1, 2),
            mask=listings_last & counted[..., None],
            quantiles=None if output.quantiles is None else output.quantiles.float().transpose(1, 2),
            student_t=None if output.student_t is None else output.student_t.float().transpose(1, 2),
            days=torch.full_like(label_mask[:, 0, 0], -1, dtype=torch.int64) if days is None else days,
            listing=torch.full_like(label_mask[..., 0], -1, dtype=torch.int64) if listing is None else listing,
        )
        weights = self._constant("horizons", self.horizon_weights, targets.device)
        share = counted * self._day_weights(regime, counted)[:, None]  # [B, Q]
        terms: dict[str, TermValue] = {}
        for name, term in self._terms.items():
            value = (_over_days(term(batch), share) * weights).sum()
            terms[name] = self._weighted(name, value)
        if self.config.sharpe:
            terms["sharpe"] = self._weighted("sharpe", (self._sharpe(batch, counted) * weights).sum())
        total = torch.stack([term.weighted for term in terms.values()]).sum()
        return LossResult(total, terms, *self._spread(batch, counted))

    def _day_weights(self, regime: Tensor | None, counted: Tensor) -> Tensor:
        """Weight of each day [B] by its regimes; 1 without them."""
        weight = torch.ones(len(counted), device=counted.device)
        if self.config.regime_weights:
            if regime is None:
                msg = "loss.regime_weights: the batch brings no market features"
                raise ConfigError(msg)
            for place, (name, levels) in enumerate(self.config.regime_weights.items()):
                state = (regime[:, place] > -REGIME_EDGE).long() + (regime[:, place] > REGIME_EDGE).long()
                weight = weight * self._constant(name, torch.tensor(levels), weight.device)[state]
        return weight

    def _constant(self, name: str, value: Tensor, device: torch.device) -> Tensor:
        """A constant on the device, copied there once: each copy from the host would make it wait."""
        key = (name, device)
        if key not in self._constants:
            self._constants[key] = value.to(device)
        return self._constants[key]

    @torch.no_grad()
    def _spread(self, batch: LossInputs, counted: Tensor) -> tuple[Tensor, Tensor]:
        """Mean spread of a day's scores, and share of days below the floor."""
        spread = masked.spread(batch.score, batch.mask)
        days = counted.sum().clamp(min=1)
        narrow = (spread < SPREAD_FLOOR) & counted
        return torch.where(counted, spread, 0.0).sum() / days, narrow.sum() / days

    def _weighted(self, name: str, value: Tensor) -> TermValue:
        weight: float = getattr(self.config, name)
        return TermValue(value, weight, weight * value)

    def _quantile(self, batch: LossInputs) -> Tensor:
        if batch.quantiles is None:
            msg = "loss.quantile: the model has no quantile head; list levels in model.heads.quantiles or weigh it 0"
            raise ConfigError(msg)
        levels = self._constant("levels", torch.tensor(self.levels), batch.quantiles.device)
        return base.quantile(batch.quantiles, batch.target, batch.mask, levels)

    def _student_t(self, batch: LossInputs) -> Tensor:
        if batch.student_t is None:
            msg = "loss.student_t: the model has no Student-t head; set model.heads.student_t to true or weigh it 0"
            raise ConfigError(msg)
        return base.student_t(batch.student_t, batch.target, batch.mask)

    def _sharpe(self, batch: LossInputs, counted: Tensor) -> Tensor:
        """Minus the Sharpe ratio [Q] over the batch's days and the remembered ones, which carry no gradient.

        Days without enough listings are masked, not cut out: how many there are is known on the device alone.
        """
        weights = portfolio.positions(batch.score, batch.mask)
        earned = (weights * torch.where(batch.mask, batch.returns, 0.0)).sum(dim=-1)
        if self.config.turnover_cost:
            earned = earned - self.config.turnover_cost * portfolio.turnover(weights, batch.days, batch.listing)
        if self._past is None:
            self._past = earned.new_full((SHARPE_DAYS - 1, earned.shape[1]), torch.nan)
        days = torch.cat([self._past, earned])
        known = torch.cat([self._past.isfinite().all(dim=1), counted.all(dim=1)])
        kept = torch.where(known[:, None], days, torch.nan).detach()
        # Known days last, in their order.
        self._past = kept[known.to(torch.int8).argsort(stable=True)][-(SHARPE_DAYS - 1) :]
        return portfolio.sharpe(days, known)


def _rank_ic(batch: LossInputs, rank: SoftRank) -> Tensor:
    """One minus the RankIC of each day and horizon, [B, Q]."""
    ranks = rank(batch.score, batch.mask)
    return 1 - masked.correlation(ranks, hard_rank(batch.target, batch.mask), batch.mask)


def _over_days(value_BQ: Tensor, weight_BQ: Tensor) -> Tensor:
    """Weighted mean [Q] over the days; 0 where none counts."""
    total = torch.where(weight_BQ > 0, value_BQ * weight_BQ, 0.0).sum(dim=0)
    return total / weight_BQ.sum(dim=0).clamp(min=1e-12)
