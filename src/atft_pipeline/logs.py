"""A log that reads like a report: one short line for what matters, at any terminal width."""

import logging
import sys
import warnings
from typing import TextIO

QUIET = {
    "kedro": logging.WARNING,
    # Their errors reach the user as the one line of the command.
    "kedro.pipeline": logging.CRITICAL,
    "kedro.runner": logging.CRITICAL,
    "kedro.validation": logging.CRITICAL,
    # Says of every run of a single pipeline that it draws no timeline of it.
    "kedro_viz": logging.ERROR,
    "mlflow": logging.WARNING,
    # A store that fails is told in one warning, which these would precede with tracebacks.
    "mlflow.store": logging.CRITICAL,
    "urllib3": logging.ERROR,
    "alembic": logging.WARNING,
    "lightning": logging.WARNING,
    "torch": logging.WARNING,
}


class ReportHandler(logging.StreamHandler[TextIO]):
    """Writes to whatever ``sys.stderr`` is now, so that a progress bar can lift the line above itself."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(logging.Formatter("%(asctime)s  %(message)s", datefmt="%H:%M:%S"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; warnings and errors carry their level."""
        if record.levelno >= logging.WARNING:
            record.msg, record.args = f"{record.levelname.lower()}: {record.getMessage()}", ()
        self.setStream(sys.stderr)
        super().emit(record)


def configure_logging(level: int = logging.INFO) -> None:
    """Send the project's log to stderr, quieten the frameworks below it."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.addHandler(ReportHandler())
    root.setLevel(logging.WARNING)
    logging.getLogger("atft_pipeline").setLevel(level)
    for name, quiet in QUIET.items():
        logging.getLogger(name).setLevel(quiet)
    logging.captureWarnings(capture=True)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
