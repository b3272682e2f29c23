"""The one boundary where YAML becomes a typed, frozen configuration object.

A node annotates its ``params:`` input with ``Params[SomeConfig]``; Kedro then builds it before any node runs. Unknown
keys and ill-typed or out-of-range values are refused with the dotted name of the key.
"""

from typing import Any, Generic, Self, TypeVar

from pydantic import ConfigDict, RootModel

from atft_pipeline.config import from_mapping

T = TypeVar("T")


class Params(RootModel[T], Generic[T]):
    """A configuration object of the library, built from YAML; the object is ``.root``."""

    model_config = ConfigDict(frozen=True)

    def __str__(self) -> str:
        """Name of the class; what it holds is logged value by value."""
        return type(self.root).__name__

    @classmethod
    def model_validate(cls, obj: Any, **_: Any) -> Self:
        """Build the configuration.

        Raises:
            ConfigError: one line with every key that is unknown, ill-typed or out of its limits.
        """
        wanted: Any = cls.model_fields["root"].annotation
        return cls.model_construct(root=obj if isinstance(obj, wanted) else from_mapping(wanted, obj))
