"""Before any library counts the cores: a core for each of several test workers, and for all that a worker starts.

Two runs that share two cores take three times as long as two runs with a core each.
"""

import os
import sys
from pathlib import Path

# pytest-xdist names its workers gw0, gw1, ...
WORKER = os.environ.get("PYTEST_XDIST_WORKER")

if WORKER is not None and hasattr(os, "sched_setaffinity"):
    CORES = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {CORES[int(WORKER.removeprefix("gw")) % len(CORES)]})
CI = os.environ.get("CI") == "true"
# The environment of a user who has activated the virtual environment.
ACTIVATED = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
