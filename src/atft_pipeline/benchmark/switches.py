"""The switches of a training, one at a time against a plain base, and all that a device takes by itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from atft_pipeline.config import from_mapping, to_mapping
from atft_pipeline.training.experiment import Experiment

EAGER = {"runtime.compile": "none"}


@dataclass(frozen=True)
class Variant:
    """A training that differs from the default in some parameters.

    Attributes:
        name: for the table.
        change: values by dotted path: ``model``, ``loss``, ``training``, ``runtime``, and ``batch`` (times the batch
            size) and ``residency``.
        against: name of the variant that it is compared with.
        gpu: of interest on a GPU alone; measured elsewhere only where it is asked for by name.
    """

    name: str
    change: Mapping[str, Any] = field(default_factory=dict)
    against: str = "eager"
    gpu: bool = False

    def of(self, base: Experiment) -> Experiment:
        """The experiment with this variant's values."""
        document = to_mapping(base)
        for path, value in self.change.items():
            *groups, name = path.split(".")
            if groups:
                group = document
                for part in groups:
                    group = group[part]
                group[name] = value
        return from_mapping(Experiment, document).with_batch_size(int(base.batches.size * self.change.get("batch", 1)))


def _eager(name: str, **change: Any) -> Variant:
    return Variant(name, {**EAGER, **{path.replace("__", "."): value for path, value in change.items()}})


def _compiled(name: str, change: dict[str, Any]) -> Variant:
    return Variant(name, {"runtime.compile": "full", **change}, against="default", gpu=True)


DEFAULT = Variant("default", against="eager")
PLAIN = _eager("float32", runtime__precision="32")
# In the order in which they are measured: where time ends, the last ones are left out.
VARIANTS = (
    Variant("eager", EAGER, against="default"),
    PLAIN,
    _eager("tf32", runtime__precision="tf32"),
    _eager("fp16", runtime__precision="16-mixed"),
    _eager("attention efficient", runtime__attention="efficient"),
    _eager("attention flash", runtime__attention="flash"),
    _eager("attention cudnn", runtime__attention="cudnn"),
    _eager("attention math", runtime__attention="math"),
    _eager("optimizer adabelief", training__optimizer__name="adabelief"),
    _eager("deterministic", runtime__deterministic=True),
    _eager("residency host", residency="host"),
    _eager("half the batch", batch=0.5),
    _eager("twice the batch", batch=2),
    _eager("accumulation 2", training__accumulation=2),
    _eager("checkpointing", model__checkpointing=True),
    _eager("no normaliser", model__normaliser__kind="none"),
    _eager("san", model__normaliser__kind="san"),
    _eager("no graph", model__graph__layers=0),
    _eager("graph by torch_geometric", model__graph__backend="pyg"),
    _compiled("compile deterministic", {"runtime.deterministic": True}),
    _compiled("compile attention efficient", {"runtime.attention": "efficient"}),
    _compiled("compile residency host", {"residency": "host"}),
    _compiled("compile selective", {"runtime.compile": "selective"}),
    _compiled("compile reduce-overhead", {"runtime.compile_mode": "reduce-overhead"}),
    _compiled("compile max-autotune", {"runtime.compile_mode": "max-autotune"}),
)
