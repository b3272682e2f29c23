"""Typed parameters of training; every field is read by the code beside it."""

from collections.abc import Mapping
from dataclasses import fields, replace
from itertools import accumulate, pairwise
from typing import Literal

from atft_pipeline.config import config, from_mapping, require, to_mapping, within
from atft_pipeline.losses.config import LossConfig
from atft_pipeline.removed_parameters import advice

# Parameters of the training that change no weight: how often it is saved, watched and resumed.
WITHOUT_EFFECT = frozenset({"resume", "profile_steps", "from_study"})
# How many models are trained changes no weight of any of them.
OF_THE_ENSEMBLE = frozenset({"seeds"})


@config
class OptimizerConfig:
    """Optimiser.

    Attributes:
        name: ``adamw``, ``adabelief`` (Zhuang et al., NeurIPS 2020) or ``sgd``.
        lr: peak learning rate.
        weight_decay: decoupled decay of weight matrices; norms, biases and vectors are never decayed.
        betas: decay of the running moments.
    """

    name: Literal["adamw", "adabelief", "sgd"] = "adamw"
    lr: float = within(2e-3, 1e-12, 1000.0)
    weight_decay: float = within(1e-2, 0, 100.0)
    betas: tuple[float, ...] = within((0.9, 0.999), 0, 0.99999)

    def __post_init__(self) -> None:
        require(len(self.betas) == 2, f"betas: must be two numbers, got {list(self.betas)}")


@config
class ScheduleConfig:
    """Learning rate by step.

    Attributes:
        name: ``warmup_cosine`` (to ``eta_min`` at the last step), ``cosine_restarts`` (Loshchilov and Hutter, ICLR
            2017; periods of 3, 6, 12 ... epochs), ``one_cycle`` (Smith and Topin, 2018) or ``constant``.
        warmup_share: share of all steps that rise linearly from 0; of ``one_cycle``, the share of the rising half.
        eta_min: lowest learning rate, absolute.
    """

    name: Literal["warmup_cosine", "cosine_restarts", "one_cycle", "constant"] = "warmup_cosine"
    warmup_share: float = within(0.1, 0, 0.9)
    eta_min: float = within(5e-5, 0, 1000.0)


@config
class RuntimeConfig:
    """What the run asks of the machine; ``auto`` falls back and says why, anything else must be met.

    Attributes:
        device: where to compute.
        precision: ``32``, ``tf32``, ``bf16-mixed``, ``16-mixed``.
        compile: ``full`` (one graph, no break), ``selective`` (temporal encoder and heads), ``none``.
        compile_mode: ``default``, ``reduce-overhead`` (CUDA graphs) or ``max-autotune`` (kernels tried out first).
        attention: kernel of the attention over steps: ``fused`` (the project's own, for a GPU), or one of torch's.
        deterministic: only kernels that give the same bits every time; ``auto`` asks for them on a CPU, where they cost
            nothing, and not on a GPU (docs/performance.md).
        devices: processes of this machine that share the days of each step, one a device, which the run starts itself;
            under ``torchrun`` leave it at 1.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "32", "tf32", "bf16-mixed", "16-mixed"] = "auto"
    compile: Literal["auto", "full", "selective", "none"] = "auto"
    compile_mode: Literal["default", "reduce-overhead", "max-autotune"] = "default"
    attention: Literal["auto", "fused", "flash", "efficient", "cudnn", "math"] = "auto"
    deterministic: bool | Literal["auto"] = "auto"
    devices: int = within(1, 1, 64)


@config
class AugmentationConfig:
    """Noise on training inputs; never in evaluation.

    Attributes:
        feature_mask: share of features zeroed, drawn for each day.
        noise: standard deviation added to every feature.
        listing_dropout: share of listings left out of each day.
    """

    feature_mask: float = within(0.0, 0, 0.9)
    noise: float = within(0.0, 0, 10.0)
    listing_dropout: float = within(0.0, 0, 0.9)


@config
class PhaseConfig:
    """One phase of training.

    Attributes:
        name: for the log.
        epochs: how many.
        normaliser: the window normaliser is on.
        graph: the graph attention is on.
        lr_factor: multiplies the schedule's learning rate.
        augmentation: of this phase.
        loss_weights: weights that replace those of the loss, by term.
    """

    name: str = "main"
    epochs: int = within(10, 1, 10_000)
    normaliser: bool = True
    graph: bool = True
    lr_factor: float = within(1.0, 1e-06, 1000.0)
    augmentation: AugmentationConfig = AugmentationConfig()
    loss_weights: Mapping[str, float] = within({}, 0, 1000.0)

    def __post_init__(self) -> None:
        known = {item.name for item in fields(LossConfig) if isinstance(item.default, int | float)}
        unknown = sorted(set(self.loss_weights) - known)
        gone = [f"loss_weights.{name}: {text}" for name in unknown if (text := advice("LossConfig", name))]
        require(not gone, "; ".join(gone))
        require(
            not unknown,
            f"loss_weights: no weight or number of the loss is called {', '.join(unknown)}; there are: "
            f"{', '.join(sorted(known))}",
        )


def loss_of(loss: LossConfig, phase: PhaseConfig) -> LossConfig:
    """The loss with the weights that a phase replaces.

    Raises:
        ConfigError: with the phase and the weight.
    """
    return from_mapping(LossConfig, {**to_mapping(loss), **phase.loss_weights}, f"phase {phase.name}: loss_weights")


@config
class TrainingConfig:
    """Training.

    Attributes:
        seed: of weights, order of days, dropout; the same seed on the same machine gives the same weights on a CPU.
        seeds: models, trained one after the other with the seeds ``seed``, ``seed + 1`` and so on; their scores are
            averaged.
        epochs: epochs of the single phase; ``null`` where ``phases`` lists them.
        augmentation: of the single phase; ``phases`` name their own.
        phases: phases one after the other; empty for a single one.
        optimizer: optimiser.
        schedule: learning rate by step.
        clip_norm: largest gradient norm; 0 = no clipping.
        accumulation: batches whose gradients make one step.
        ema_decay: decay of averaged weights, on which validation runs and which are kept; 0 = none.
        patience: epochs without a better validation RankIC after which training stops; 0 = never.
        max_batches: batches of an epoch, for debugging only; 0 = the full data.
        resume: continue from the last saved state of the same settings; ``auto``: where there is one, else begin.
        profile_steps: steps of the first epoch that torch.profiler traces into ``trace.json``; 0 = none.
        from_study: ``best``: the winner of the newest search replaces model, loss, training and batches, except what
            ``--params`` names; ``null``: nothing does. Give it with ``--params``.
    """

    seed: int = within(1, 0, 2**32 - 1)
    seeds: int = within(1, 1, 100)
    epochs: int | None = within(10, 1, 10_000)
    augmentation: AugmentationConfig = AugmentationConfig()
    phases: tuple[PhaseConfig, ...] = ()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    clip_norm: float = within(1.0, 0, 1000000.0)
    accumulation: int = within(1, 1, 1024)
    ema_decay: float = within(0.0, 0, 0.9999)
    patience: int = within(5, 0, 10_000)
    max_batches: int = within(0, 0, 1_000_000)
    resume: bool | Literal["auto"] = False
    profile_steps: int = within(0, 0, 1000)
    from_study: Literal["best"] | None = None

    def __post_init__(self) -> None:
        require(
            (self.epochs is None) == bool(self.phases),
            "epochs: give either epochs or phases: epochs must be null where phases are listed",
        )
        require(
            not self.phases or self.augmentation == AugmentationConfig(),
            "augmentation: belongs to the single phase: give it inside phases where phases are listed",
        )
        require(
            self.schedule.name == "constant" or self.schedule.eta_min <= self.optimizer.lr,
            f"schedule.eta_min: must not exceed optimizer.lr {self.optimizer.lr}, got {self.schedule.eta_min}",
        )

    @property
    def members(self) -> "tuple[TrainingConfig, ...]":
        """The training of each model of the ensemble; one model is an ensemble of one."""
        return tuple(replace(self, seed=self.seed + place, seeds=1) for place in range(self.seeds))

    @property
    def plan(self) -> tuple[PhaseConfig, ...]:
        """The phases, also of a run that names only ``epochs``."""
        return self.phases or (PhaseConfig(epochs=self.epochs or 1, augmentation=self.augmentation),)

    def phase_of(self, epoch: int) -> PhaseConfig:
        """The phase that an epoch, counted from 1 over all phases, belongs to."""
        ends = accumulate(phase.epochs for phase in self.plan)
        return next(phase for phase, end in zip(self.plan, ends, strict=True) if epoch <= end)

    def with_epochs(self, epochs: int) -> "TrainingConfig":
        """The same training in so many epochs; phases keep their shares, and of too many the last ones remain.

        Args:
            epochs: at least 1.
        """
        if not self.phases:
            return replace(self, epochs=epochs)
        kept = self.phases[-epochs:]
        total = sum(phase.epochs for phase in kept)
        # Borders of the phases, rounded, and moved so that every phase keeps an epoch.
        done, borders = 0, [0]
        for place, phase in enumerate(kept, start=1):
            done += phase.epochs
            least, most = borders[-1] + 1, epochs - (len(kept) - place)
            borders.append(min(max(round(epochs * done / total), least), most))
        spans = [later - sooner for sooner, later in pairwise(borders)]
        phases = tuple(replace(phase, epochs=span) for phase, span in zip(kept, spans, strict=True))
        return replace(self, phases=phases)


@config
class TargetsConfig:
    """What the targets of the model and of the baselines are.

    Attributes:
        neutral_to: features of the day, such as the market beta ``BETAMKT60``, whose share is taken out of the targets
            by a regression over the day's listings; ``sector`` takes out the mean of the listing's sector before.
    """

    neutral_to: tuple[str, ...] = ()
