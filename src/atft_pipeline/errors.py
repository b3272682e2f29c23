"""The errors that a user meets: one clear line each.

Every message names the file, column or parameter, the value found and what to do. The command line prints the message
of an :class:`AtftError` alone; anything else is a programming error and keeps its traceback.
"""


class AtftError(Exception):
    """Base of all errors that a user can mend; ``str(error)`` is the one line to show."""


class DataError(AtftError):
    """Input data break their contract: a missing column, an ill-typed value, an empty file."""


class ConfigError(AtftError, ValueError):
    """A parameter is out of its range or contradicts another one."""


class ArtifactError(AtftError):
    """A stored artifact is missing, corrupt, or was made from something else than its partner."""


class UnavailableError(AtftError):
    """An explicit request that this machine cannot meet, such as bf16 on a device without it."""


class TrainingError(AtftError):
    """Training was stopped because its numbers mean nothing: NaN, divergence, collapsed scores."""


class OutOfMemoryError(TrainingError):
    """The memory of the device or the host does not suffice for the batches of a training."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C ended a training after a step; the message says what was saved and how to continue."""
