"""Work that falls into blocks, here or on the workers of a Dask cluster; either way gives the same bytes.

The one place that knows Dask (docs/decisions/0006-dask-for-blocks.md); nothing is imported of it until a scheduler is
named.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from atft_pipeline.config import config
from atft_pipeline.errors import UnavailableError

Shared = TypeVar("Shared")
Block = TypeVar("Block")
Result = TypeVar("Result")
# Blocks handed out a worker: one that runs and one that waits, so that results do not pile up.
AHEAD = 2
CONNECT = "10s"


@config
class ClusterConfig:
    """Where spans of the features and months of the graphs are computed.

    Attributes:
        scheduler: address of a Dask scheduler, such as ``tcp://host:8786``, whose workers have this package installed
            and see the project's ``data`` under the same path; ``null`` computes in this process.
    """

    scheduler: str | None = None


def each_block(
    work: Callable[[Shared, Block], Result], shared: Shared, blocks: Sequence[Block], cluster: ClusterConfig
) -> Iterator[Result]:
    """Yield ``work(shared, block)`` for each block, in order.

    Args:
        work: a function of a module, which workers import.
        shared: what all blocks need; it is sent to each worker once.
        blocks: small.
        cluster: where.

    Raises:
        UnavailableError: no scheduler answers there, or Dask is not installed.
    """
    if cluster.scheduler is None:
        for block in blocks:
            yield work(shared, block)
        return
    with _connected(cluster.scheduler) as client:
        everywhere = client.scatter(shared, broadcast=True, hash=False)
        running: deque[Any] = deque()
        most = AHEAD * max(1, len(client.scheduler_info()["workers"]))
        for block in blocks:
            running.append(client.submit(work, everywhere, block, pure=False))
            if len(running) >= most:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def _connected(scheduler: str) -> Any:
    try:
        import distributed  # noqa: PLC0415  (an optional part)
    except ImportError as error:
        msg = 'cluster.scheduler: Dask is not installed here; pip install "atft-pipeline[cluster]"'
        raise UnavailableError(msg) from error
    try:
        open_client: Any = distributed.Client
        client = open_client(scheduler, timeout=CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        msg = f"cluster.scheduler: no Dask scheduler answers at {scheduler}; start one with dask scheduler, or set null"
        raise UnavailableError(msg) from error
    if not client.scheduler_info()["workers"]:
        client.close()
        msg = f"cluster.scheduler: {scheduler} has no workers; start some with dask worker {scheduler}"
        raise UnavailableError(msg)
    return client
