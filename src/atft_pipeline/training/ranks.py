"""Training on several devices and machines under ``torchrun``: rank 0 does the work, the other ranks compute with it.

Rank 0 alone reads parameters and writes. Each training that it starts is sent to the others, which open the same panel
and graphs, read only, and take their share of each step.
"""

import pickle
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from types import FrameType

from atft_pipeline.errors import ArtifactError, AtftError, TrainingError
from atft_pipeline.training.experiment import MarketData, TrainingRun
from atft_pipeline.training.runtime.torchrun import LOST, Peers, joining

# Seconds in which rank 0 says what all ranks fail by, and torchrun ends the others.
FIRST = 5.0


def share(peers: Peers, run: TrainingRun) -> None:
    """Rank 0: let the other ranks begin the same training; panel and graphs go to them as their paths.

    Raises:
        ArtifactError: one of them sees another panel or other graphs.
    """
    peers.send(pickle.dumps(replace(run, checkpoint_dir=run.checkpoint_dir.absolute())))
    check_same(peers, run.data, "")


def run_in_ranks(work: Callable[[], int], train: Callable[[TrainingRun], object]) -> int:
    """Join the processes of the job; rank 0 does the work, the others its trainings.

    Args:
        work: of rank 0; the trainings that it starts are done by all ranks. Returns its exit code.
        train: how another rank trains.

    Returns:
        The exit code of this process.
    """
    rank = 0
    try:
        with joining() as peers:
            rank = peers.rank
            if rank == 0:
                signal.signal(signal.SIGTERM, _stopped)
                code = work()
                if code == 0:
                    peers.send(None)
                return code
            # Ctrl-C is rank 0's: it ends the step, saves, and the others follow.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            while (packed := peers.receive()) is not None:
                train(unpacked(peers, packed))
            return 0
    except AtftError as error:
        # A rank that fails by itself speaks after rank 0, which may have said the same for all of them.
        time.sleep(0.0 if rank == 0 else FIRST)
        sys.stderr.write(f"error: {socket.gethostname()}, rank {rank}: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def unpacked(peers: Peers, packed: bytes) -> TrainingRun:
    """Another rank: open the panel and the graphs of a training.

    Raises:
        ArtifactError: they are not those of rank 0.
    """
    run, problem = None, ""
    try:
        run = pickle.loads(packed)  # noqa: S301  written by share
    except AtftError as error:
        problem = str(error)
    check_same(peers, run.data if run is not None else None, problem)
    assert isinstance(run, TrainingRun)
    return run


def check_same(peers: Peers, data: MarketData | None, problem: str) -> None:
    """Compare what all ranks see at the paths of panel and graphs.

    Args:
        peers: the ranks.
        data: what this one sees, ``None`` where it cannot be opened.
        problem: why it cannot.

    Raises:
        ArtifactError: in every rank, naming the first one that differs.
    """
    seen = [str(data.panel.path), data.panel.meta.fingerprint, data.graphs_fingerprint] if data else ["", "", ""]
    everything: list[tuple[str, list[str], str]] = peers.all_gather((socket.gethostname(), seen, problem))
    (_, (path, panel, graphs), _), *others = everything
    for rank, (host, (_, own_panel, own_graphs), trouble) in enumerate(others, start=1):
        what = "panel" if own_panel != panel else "graphs"
        if trouble or own_panel != panel or own_graphs != graphs:
            found = trouble or f"another one (fingerprint {(own_panel if what == 'panel' else own_graphs)[:8]})"
            msg = (
                f"rank {rank} on {host} does not see the {what} of rank 0 ({path}): {found}; every machine needs the "
                "same data folder under the same path, shared or copied"
            )
            raise ArtifactError(msg)


def _stopped(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise TrainingError(LOST)
