"""A search of many workers on PostgreSQL whose server restarts in between: is any trial lost, and what does one cost?

``python -m benchmarks.search_load`` from the root of the project: 8 workers, 200 trials that only sleep. The server is
that of the tests, without fsync, so its milliseconds are a lower bound; the number of queries is what it is.
"""

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event
from tests.tuning.postgres import cluster
from tests.tuning.studies import Script, scripted, search_config
from tests.tuning.test_storage import trials_of

from atft_pipeline.tuning import database
from atft_pipeline.tuning.storage import slots

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["benchmarks.search_load"])
AWAY = 3.0


class Load:
    """Counts statements of this process and the seconds that it waits for them."""

    def __init__(self) -> None:
        self.queries, self.seconds, self._start = 0, 0.0, 0.0
        event.listen(Engine, "before_cursor_execute", self._before)
        event.listen(Engine, "after_cursor_execute", self._after)

    def _before(self, *_: Any) -> None:
        self._start = time.perf_counter()

    def _after(self, *_: Any) -> None:
        self.queries += 1
        self.seconds += time.perf_counter() - self._start


def work(url: str, folder: Path, trials: int, seconds: float, number: int, gate: Any) -> None:
    """One worker, from an empty database on; leaves what it asked of the server."""
    database.BEAT, database.GRACE = 5, 30
    load = Load()
    gate.wait()
    begun = time.perf_counter()
    worker = scripted(url, search_config(trials), folder, Script(folder, seconds))
    worker.run()
    found = {"queries": load.queries, "seconds": load.seconds, "clock": time.perf_counter() - begun}
    (folder / f"worker-{number}.json").write_text(json.dumps(found))
    worker.shared.storage.engine.dispose()


def finished(url: str) -> int:
    """Trials with a result."""
    return sum(trial.state.is_finished() for trial in trials_of(url))


def search(workers: int, trials: int, seconds: float) -> dict[str, Any]:
    """Run the search, restart its server at half of the trials, and look at what is there."""
    with cluster() as server, tempfile.TemporaryDirectory() as name:
        folder, gate = Path(name), CONTEXT.Barrier(workers)
        started = [
            CONTEXT.Process(target=work, args=(server.url, folder, trials, seconds, number, gate))
            for number in range(workers)
        ]
        for process in started:
            process.start()
        while finished(server.url) < trials // 2:
            time.sleep(1.0)
        before = finished(server.url)
        server.stop()
        time.sleep(AWAY)
        server.start()
        for process in started:
            process.join()
        found = trials_of(server.url)
        parts = [json.loads(path.read_text()) for path in sorted(folder.glob("worker-*.json"))]
    held = slots(found)
    by_worker = Counter(trial.user_attrs["worker"] for _, trial in held)
    return {
        "slots": len(held),
        "complete": sum(trial.state.name == "COMPLETE" for _, trial in held),
        "tries": len(found),
        "finished before the restart": before,
        "workers": len(parts),
        "of the busiest and the idlest worker": [max(by_worker.values()), min(by_worker.values())],
        "queries a trial": sum(part["queries"] for part in parts) / trials,
        "ms of the database a trial": 1000 * sum(part["seconds"] for part in parts) / trials,
        "seconds": statistics.median(part["clock"] for part in parts),
    }


def main() -> None:
    """Print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each of two epochs of a trial")
    options = parser.parse_args()
    for what, value in search(options.workers, options.trials, options.seconds).items():
        print(f"{what:40} {value if isinstance(value, int | list) else round(value, 1)}")


if __name__ == "__main__":
    main()
