"""Whatever happens to a saved artifact ends in one line that names it and says what to do, or in the same contents."""

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
import pytest
from kedro.framework.project import configure_project, pipelines
from kedro.io import DatasetError, Version

from atft_pipeline import lineage
from atft_pipeline.cli import one_line
from atft_pipeline.datasets.artifacts import FeaturesDataset, GraphsDataset, ModelDataset, PanelDataset, draft
from atft_pipeline.datasets.atomic import AtomicDataset
from atft_pipeline.datasets.contents import CONTENTS
from atft_pipeline.datasets.raw import RawPathDataset
from atft_pipeline.datasets.tables import FigureDataset, FrameDataset, JsonDataset, TextDataset
from atft_pipeline.errors import ArtifactError
from atft_pipeline.features.manifest import MANIFEST, read_manifest
from atft_pipeline.lineage import hash_file
from atft_pipeline.panel import arrow_file
from atft_pipeline.training.checkpoint.model import load_model
from tests.panel.market import write_features
from tests.training.runs import market, run

OLD, NEW = "2024-01-01T00.00.00.000Z", "2024-01-02T00.00.00.000Z"


@dataclass(frozen=True)
class Artifact:
    """One artifact of a project: its dataset, where it lies, what is saved, and what a stage reads of it.

    What is saved is a function of the working folder where a node writes the artifact itself.
    """

    kind: type[AtomicDataset[Any, Any]]
    place: str
    stage: str
    data: Any
    read: Callable[[Any], object]

    @property
    def name(self) -> str:
        return Path(self.place).stem


def same(value: Any) -> Any:
    return value


def all_days(panel: Any) -> list[bytes]:
    days = [panel.day(number) for number in range(len(panel.dates))]
    return [part.tobytes() for day in days for part in (day.listing, day.features, day.targets, day.universe)]


def all_months(graphs: Any) -> list[bytes]:
    return [graphs.neighbors(month).tobytes() + graphs.edge_attr(month).tobytes() for month in range(len(graphs))]


def copied(source: Path) -> Callable[[Path], Path]:
    """A node: it writes a copy of an artifact and returns where."""

    def node(workspace: Path) -> Path:
        with draft(workspace, source.stem) as path:
            shutil.copytree(source, path) if source.is_dir() else shutil.copyfile(source, path)
        return path

    return node


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> list[Artifact]:
    """Every kind of artifact of a project, small."""
    folder = tmp_path_factory.mktemp("made")
    panel, graphs = market(folder, days=60, listings=12)
    trained = run(panel, graphs, folder / "run", epochs=1)
    frame = pl.DataFrame({"Code": ["A", "B"] * 300, "Close": np.linspace(1.0, 9.0, 600)})
    figure = go.Figure(go.Scatter(y=[1.0, 2.0]))
    write_features(folder / "forty" / "features", days=40)
    return [
        Artifact(FrameDataset, "clean_prices.parquet", "ingest", frame, pl.DataFrame.rows),
        Artifact(FrameDataset, "predictions.parquet", "evaluate", frame, pl.DataFrame.rows),
        Artifact(JsonDataset, "metrics.json", "evaluate", {"horizons": {"1": [0.25, 1]}}, same),
        Artifact(FrameDataset, "trial_returns.parquet", "hpo", frame, pl.DataFrame.rows),
        Artifact(TextDataset, "best_parameters.yml", "hpo", "training:\n  epochs: 3\n", same),
        Artifact(FigureDataset, "decile_returns_figure.json", "evaluate", figure, go.Figure.to_json),
        Artifact(FeaturesDataset, "features", "features", copied(folder / "forty" / "features"), read_months),
        Artifact(PanelDataset, "panel.arrow", "panel", copied(panel.path), all_days),
        Artifact(GraphsDataset, "graphs.arrow", "graphs", copied(graphs.path), all_months),
        Artifact(ModelDataset, "model", "train", trained.checkpoint, read_weights),
    ]


def read_months(path: Path) -> list[Any]:
    return [pl.read_parquet(found).rows() for found in sorted(path.glob("*.parquet"))]


def read_weights(path: Path) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in load_model(path)[0].state_dict().items()}


@pytest.fixture(autouse=True, scope="module")
def project() -> None:
    """The registered pipelines, from which advice is taken."""
    configure_project("atft_pipeline")
    assert "train" in pipelines


def saved(artifact: Artifact, folder: Path, version: str) -> Path:
    """Save a version and return its path."""
    dataset = artifact.kind(str(folder / artifact.place), Version(None, version))
    dataset.save(artifact.data(folder) if callable(artifact.data) else artifact.data)
    return folder / artifact.place / version / artifact.place


def loaded(artifact: Artifact, folder: Path) -> object:
    return artifact.read(artifact.kind(str(folder / artifact.place), Version(None, None)).load())


def damages(original: Path) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Ways to damage a file or the files of a folder."""
    files = [original] if original.is_file() else sorted(original.iterdir())
    for number, file in enumerate(files[:3]):
        inside = file.relative_to(original)
        content = file.read_bytes()

        def at(path: Path, inside: Path = inside) -> Path:
            return path / inside if str(inside) != "." else path

        for length in {0, 1, 8, len(content) // 2, len(content) - 1}:
            yield f"{number} cut to {length}", lambda path, n=length, c=content, at=at: put(at(path), c[:n])
        for offset in np.linspace(0, len(content) - 1, 9, dtype=int):
            flipped = bytearray(content)
            flipped[offset] ^= 0x10
            yield f"{number} flipped at {offset}", lambda path, c=bytes(flipped), at=at: put(at(path), c)
        for other in (b"[]", b"null", b'{"x": [1]}', b"\xff\xfe\x00"):
            yield f"{number} other contents {other!r}", lambda path, c=other, at=at: put(at(path), c)
        yield f"{number} longer", lambda path, c=content, at=at: put(at(path), c + b"\0")
        yield f"{number} a folder", lambda path, at=at: (at(path).unlink(), at(path).mkdir())[0]
    if original.is_dir():
        yield "a file missing", lambda path: sorted(path.iterdir())[0].unlink()
        yield "emptied", empty
        yield "a file", lambda path: (shutil.rmtree(path), path.write_bytes(b"x"))[0]
    for text in ("", "[]", "{", '{"files": 3}', '{"format": 1, "whole": true, "folder": false, "files": {"a": 1}}'):
        yield f"its description {text!r}", lambda path, t=text: put(path.with_name(CONTENTS), t.encode())


def empty(folder: Path) -> None:
    for found in folder.iterdir():
        found.unlink()


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def test_every_damage_is_one_line_with_what_to_do(artifacts: list[Artifact], tmp_path: Path) -> None:
    tried = 0
    for artifact in artifacts:
        saved(artifact, tmp_path, OLD)
        path = saved(artifact, tmp_path, NEW)
        expected = loaded(artifact, tmp_path)
        kept = tmp_path / "kept"
        shutil.copytree(path.parent, kept)
        for what, damage in damages(kept / artifact.place):
            damage(path)
            with pytest.raises(DatasetError) as caught:
                loaded(artifact, tmp_path)
            line = one_line(caught.value)
            told = f"{artifact.place}, {what}: {line}"
            assert line is not None, told
            assert len(line.splitlines()) == 1, told
            assert line.startswith(f"{artifact.name} {NEW} is damaged: "), told
            assert f"make it again with: kedro run --pipeline={artifact.stage}" in line, told
            assert line.endswith(f"--load-versions={artifact.name}:{OLD}"), told
            shutil.rmtree(path.parent)
            shutil.copytree(kept, path.parent)
            tried += 1
        assert loaded(artifact, tmp_path) == expected
        shutil.rmtree(kept)
    assert tried > 200


def test_versions_without_description_are_read_or_named(artifacts: list[Artifact], tmp_path: Path) -> None:
    """Those of an earlier version of the project: what cannot be parsed is named."""
    refused = 0
    for artifact in artifacts:
        path = saved(artifact, tmp_path, NEW)
        if path.is_dir():
            continue
        path.with_name(CONTENTS).unlink()
        expected, content = loaded(artifact, tmp_path), path.read_bytes()
        for kept in (0, 5, len(content) // 2):
            put(path, content[:kept])
            try:
                assert loaded(artifact, tmp_path) != expected
            except DatasetError as error:
                line = one_line(error)
                assert line is not None
                assert NEW in line
                assert artifact.place in line
                assert "kedro run --pipeline=" in line
                refused += 1
        put(path, content)
        assert loaded(artifact, tmp_path) == expected
    assert refused > 10


def test_a_file_is_hashed_once_a_process_until_it_changes(
    artifacts: list[Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(artifacts[0], tmp_path, NEW)
    content = path.read_bytes()
    an_hour_ago = path.stat().st_mtime - 3600
    os.utime(path, (an_hour_ago, an_hour_ago))
    hashed: list[Path] = []
    monkeypatch.setattr(lineage, "hash_file", lambda found: (hashed.append(found), hash_file(found))[1])
    for _ in range(3):
        loaded(artifacts[0], tmp_path)
    assert hashed == [path]
    put(path, content[:-9] + b"x" + content[-8:])
    for _ in range(2):
        with pytest.raises(DatasetError, match="holds other bytes than were saved"):
            loaded(artifacts[0], tmp_path)


def test_an_older_version_is_offered_only_where_it_is_whole(artifacts: list[Artifact], tmp_path: Path) -> None:
    prices = artifacts[0]
    older, newer = saved(prices, tmp_path, OLD), saved(prices, tmp_path, NEW)
    put(newer, b"x")
    put(older, b"y")
    with pytest.raises(DatasetError) as caught:
        loaded(prices, tmp_path)
    assert "--load-versions" not in str(caught.value)


def test_an_artifact_read_by_its_path_is_looked_at_too(artifacts: list[Artifact], tmp_path: Path) -> None:
    """A trained model, the parameters of a search: stages that take the newest one, if there is one."""
    for artifact in (artifacts[3], artifacts[4], artifacts[-1]):
        path = saved(artifact, tmp_path, NEW)
        dataset = RawPathDataset(None, beside=str(tmp_path / "checkpoints"), sibling=artifact.place, optional=True)
        assert dataset.load() == path
        file = path if path.is_file() else next(path.iterdir())
        put(file, file.read_bytes()[:-2])
        with pytest.raises(DatasetError) as caught:
            dataset.load()
        line = one_line(caught.value)
        assert line is not None
        assert line.startswith(f"{artifact.name} {NEW} is damaged: ")
        assert f"kedro run --pipeline={artifact.stage}" in line


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "no space left on device .*; make room there"),
        (errno.EROFS, "read-only file system .*; it must be a folder that this user may write"),
        (errno.EACCES, "permission denied .*; it must be a folder"),
        (errno.EDQUOT, "quota exceeded .*; make room there"),
        (errno.EFBIG, r"file too large .*; raise the limit on the size of files \(ulimit -f\)"),
    ],
)
def test_a_disk_that_refuses_is_one_line_and_leaves_nothing(
    artifacts: list[Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    """Whether the first or the last write fails, and whichever library tells it."""
    failures = [OSError(number, os.strerror(number)), pl.exceptions.ComputeError(f"parquet: x (os error {number})")]
    for artifact in artifacts:
        for failure in failures:

            def half(self: Any, path: Path, data: Any, failure: Exception = failure) -> None:
                path.write_bytes(b"half")
                raise failure

            with monkeypatch.context() as patch:
                patch.setattr(artifact.kind, "write", half)
                with pytest.raises(DatasetError, match=f"{artifact.name} cannot be saved: (disk )?{advice}") as caught:
                    saved(artifact, tmp_path, NEW)
            line = one_line(caught.value)
            assert line is not None
            assert str(tmp_path) in line
            assert len(line.splitlines()) == 1
            assert not list((tmp_path / artifact.place).iterdir())
        if callable(artifact.data):
            for failure in failures:
                with pytest.raises(ArtifactError, match=f"{artifact.name} cannot be saved: (disk )?{advice}"):
                    fail_halfway(tmp_path, artifact.name, failure)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def fail_halfway(workspace: Path, name: str, failure: Exception) -> None:
    """As a node that writes a draft may."""
    with draft(workspace, name) as path:
        path.write_bytes(b"half")
        raise failure


def test_a_file_that_is_gone_meanwhile_is_named(tmp_path: Path) -> None:
    """Kedro would say that a file of the same name exists already."""

    with pytest.raises(ArtifactError) as caught, draft(tmp_path, "panel"):
        (tmp_path / "2024-01.parquet").read_bytes()
    line = one_line(caught.value)
    assert line is not None
    assert line.startswith("panel cannot be saved: no such file or directory (")
    assert "2024-01.parquet); a file that it is made from is gone: run the stage before it again" in line


def test_another_error_while_saving_keeps_its_kind(tmp_path: Path) -> None:
    """Of a dataset, and of a node that writes a draft: nothing of either is left."""

    class Wrong(JsonDataset):
        def write(self, path: Path, data: Any) -> None:
            path.write_text(str(data))
            raise ZeroDivisionError("of the code")

    with pytest.raises(DatasetError) as caught:
        Wrong(str(tmp_path / "metrics.json"), Version(None, NEW)).save({})
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert not list((tmp_path / "metrics.json").iterdir())
    with pytest.raises(ZeroDivisionError):
        fail_halfway(tmp_path / "workspace", "panel", ZeroDivisionError("of the code"))
    assert not [path for path in (tmp_path / "workspace").rglob("*") if path.is_file()]


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    """In a process of its own, as the system does it."""
    script = f"""
import resource
import polars as pl
from kedro.io import DatasetError, Version
from atft_pipeline.cli import one_line
from atft_pipeline.datasets.tables import FrameDataset, JsonDataset

resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
frame = pl.DataFrame({{"x": pl.Series(range(9000)).hash()}})
for kind, name, data in [(FrameDataset, "frame.parquet", frame), (JsonDataset, "text.json", list(range(9000)))]:
    try:
        kind({str(tmp_path)!r} + "/" + name, Version(None, {NEW!r})).save(data)
    except DatasetError as error:
        print(one_line(error))
"""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["frame cannot be saved", "text cannot be saved"], done.stderr
    assert all("ulimit -f" in line for line in lines)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_killed_runs_left_is_removed_and_what_lives_is_not(artifacts: list[Artifact], tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    living = os.getppid()
    frame, panel = artifacts[0], artifacts[7]
    for artifact in (frame, panel):
        place = tmp_path / artifact.place
        old = place / OLD
        old.mkdir(parents=True)
        for number in (dead.pid, living):
            (old / f".{artifact.place}.{number}.partial").write_bytes(b"half")
        killed = place / "2024-01-01T12.00.00.000Z"
        (killed / f".{artifact.place}.{dead.pid}.partial").mkdir(parents=True)
        (killed / CONTENTS).write_text("{}")
        saved(artifact, tmp_path, NEW)
        assert not killed.exists()
        assert [path.name for path in old.iterdir()] == [f".{artifact.place}.{living}.partial"]
        assert {path.name for path in (place / NEW).iterdir()} == {artifact.place, CONTENTS}


def test_a_draft_sweeps_what_killed_runs_left_of_the_same_artifact(tmp_path: Path) -> None:
    """Another run, which may bear the same number in a container of its own, is writing another artifact."""
    for name in ("panel", "features"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f".{name}.{os.getpid()}.partial").write_bytes(b"half")
    with draft(tmp_path, "panel") as path:
        assert not path.exists()
        path.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"
    assert [found.name for found in (tmp_path / "features").iterdir()] == [f".features.{os.getpid()}.partial"]


def test_a_version_that_was_asked_for_is_named_when_it_is_damaged(artifacts: list[Artifact], tmp_path: Path) -> None:
    prices = artifacts[0]
    older = saved(prices, tmp_path, OLD)
    saved(prices, tmp_path, NEW)
    put(older, b"")
    with pytest.raises(DatasetError, match=f"clean_prices {OLD} is damaged: .*--load-versions=clean_prices:{NEW}"):
        prices.kind(str(tmp_path / prices.place), Version(OLD, None)).load()


def test_weights_that_are_not_finite_blame_the_file(artifacts: list[Artifact], tmp_path: Path) -> None:
    import json

    import torch
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "model"
    shutil.copytree(artifacts[-1].data, folder)
    tensors = load_file(folder / "model.safetensors")
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    tensors[name] = torch.full_like(tensors[name], float("inf"))
    save_file(tensors, folder / "model.safetensors")
    card = json.loads((folder / "model.json").read_text())
    card["weights"] = hash_file(folder / "model.safetensors")
    del card["checksum"]
    (folder / "model.json").write_text(json.dumps(card))
    with pytest.raises(
        ArtifactError, match=f"model is damaged .*{name} holds weights that are not finite.*; train again"
    ):
        load_model(folder)


def test_what_another_version_wrote_is_not_called_damaged(artifacts: list[Artifact], tmp_path: Path) -> None:
    """The files are whole and their checksums agree; only their parameters are those of another version."""
    folder = tmp_path / "model"
    shutil.copytree(artifacts[-1].data, folder)
    card = json.loads((folder / "model.json").read_text())
    card["model"]["normaliser"]["slice_length"] = 5
    del card["checksum"]
    (folder / "model.json").write_text(json.dumps(card))
    with pytest.raises(ArtifactError, match=r"^\S+model was trained by another version of the project; train again"):
        load_model(folder)


def test_features_and_panels_of_another_version_name_their_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps({"target": "beta_residual"}))
    with pytest.raises(ArtifactError, match=r"another version of the project, or is damaged; .*kedro run --pipeline="):
        read_manifest(tmp_path)
    with arrow_file.open_writer(tmp_path / "panel.arrow", arrow_file.schema_of([], "panel", {})):
        pass
    monkeypatch.setattr(arrow_file, "FORMAT", 3)
    line = r"another version of the project \(format 2, not 3\); make the panel again with: kedro run --pipeline=panel"
    with pytest.raises(ArtifactError, match=line):
        arrow_file.open_file(tmp_path / "panel.arrow", "panel")
