"""Old versions go, and nothing that a version that stays was made from."""

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog, Version
from kedro.pipeline import Pipeline, node

from atft_pipeline.datasets.contents import LINEAGE
from atft_pipeline.datasets.tables import JsonDataset
from atft_pipeline.errors import ArtifactError
from atft_pipeline.locks import Lock
from atft_pipeline.pipelines import prune
from atft_pipeline.pipelines.freshness import write_record
from atft_pipeline.pipelines.prune import delete, find_versions, freed

DAYS = [f"2024-01-0{day}T00.00.00.000Z" for day in range(1, 6)]
CHAIN = {"panel": None, "model": "panel", "scores": "model"}


def keep(value: Any) -> Any:
    return value


@pytest.fixture
def save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that saves a version of an artifact, made from a version of the one before it."""
    stages = {name: Pipeline([node(keep, before or "raw", name)]) for name, before in CHAIN.items()}
    monkeypatch.setattr(prune, "pipelines", stages)

    def save(name: str, version: str, made_from: str = "") -> None:
        catalog = DataCatalog({name: JsonDataset(str(tmp_path / f"{name}.json"), Version(None, version))})
        catalog.save(name, [version])
        before = CHAIN[name]
        inputs = {before: {"version": made_from, "fingerprint": "a1"}} if before else {}
        record = {"node": name, "fingerprint": "b2", "inputs": inputs, "parameters": {}, "code": "c3"}
        write_record(catalog, name, record)

    return save


@pytest.fixture
def catalog(tmp_path: Path) -> DataCatalog:
    return DataCatalog({name: JsonDataset(str(tmp_path / f"{name}.json"), Version(None, None)) for name in CHAIN})


def left(folder: Path, name: str) -> list[str]:
    return sorted(path.name for path in (folder / f"{name}.json").iterdir())


def test_what_a_kept_version_was_made_from_stays(save: Any, catalog: DataCatalog, tmp_path: Path) -> None:
    for day in DAYS:
        save("panel", day)
    save("model", DAYS[1], DAYS[0])
    save("model", DAYS[2], DAYS[1])
    save("scores", DAYS[3], DAYS[1])
    found = find_versions(catalog, 1)
    # The scores keep the older of the two models, and that its panel; the newer model keeps another one.
    named = {item.artifact: [[path.name for path in part] for part in (item.needed, item.old)] for item in found}
    assert named == {
        "panel": [[DAYS[1], DAYS[0]], [DAYS[3], DAYS[2]]],
        "model": [[DAYS[1]], []],
        "scores": [[], []],
    }
    assert delete(found, tmp_path / "locks") == 2
    assert left(tmp_path, "panel") == [DAYS[0], DAYS[1], DAYS[4]]
    assert left(tmp_path, "model") == [DAYS[1], DAYS[2]]
    assert list((tmp_path / "locks").iterdir()) == []
    assert not any(item.old for item in find_versions(catalog, 1))


def test_folders_of_other_names_and_incomplete_ones_are_left_alone(
    save: Any, catalog: DataCatalog, tmp_path: Path
) -> None:
    for day in DAYS[:3]:
        save("panel", day)
    save("panel", "mine")
    (tmp_path / "panel.json" / "2023-01-01T00.00.00.000Z").mkdir()
    delete(find_versions(catalog, 2), tmp_path / "locks")
    assert left(tmp_path, "panel") == ["2023-01-01T00.00.00.000Z", DAYS[1], DAYS[2], "mine"]


def test_an_unknown_lineage_stops_it(save: Any, catalog: DataCatalog, tmp_path: Path) -> None:
    save("panel", DAYS[0])
    save("model", DAYS[0], DAYS[0])
    (tmp_path / "model.json" / DAYS[0] / LINEAGE).unlink()
    with pytest.raises(ArtifactError, match=f"what model {DAYS[0]} was made from is not known, so nothing is removed"):
        find_versions(catalog, 1)


def test_raw_data_is_not_looked_at(save: Any, tmp_path: Path) -> None:
    raw = JsonDataset(str(tmp_path / "01_raw" / "panel.json"), Version(None, None))
    assert find_versions(DataCatalog({"panel": raw}), 1) == []


def test_a_run_at_work_is_waited_for(save: Any, catalog: DataCatalog, tmp_path: Path) -> None:
    for day in DAYS[:2]:
        save("panel", day)
    found = find_versions(catalog, 1)
    lock = Lock(tmp_path / "locks" / "panel")
    assert lock.claim("kedro run, train") is None
    with pytest.raises(ArtifactError, match=r"panel is being made by a run, .*kedro run, train"):
        delete(found, tmp_path / "locks")
    lock.release()
    assert left(tmp_path, "panel") == DAYS[:2]
    assert delete(found, tmp_path / "locks") == 1


def test_linked_files_are_counted_once_and_only_where_they_go(tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in "abc")
    for folder in (first, second, third):
        folder.mkdir()
    (first / "own").write_bytes(b"1" * 10)
    (first / "shared").write_bytes(b"2" * 100)
    (second / "shared").hardlink_to(first / "shared")
    (first / "other").write_bytes(b"3" * 1000)
    (third / "other").hardlink_to(first / "other")
    assert freed([first]) == 10
    assert freed([first, second]) == 110
    assert freed([first, second, third]) == 1110


KILLED = """
import os, sys
from pathlib import Path
from atft_pipeline.pipelines import prune
def remove(path):
    # Half of a folder goes, then the process dies.
    next(path.iterdir()).unlink()
    os._exit(9)
prune.remove = remove
folder = Path(sys.argv[1])
prune.delete([prune.Versions("panel", (folder / "NEW",), (), (folder / "OLD",))], folder / "locks")
"""


def test_a_killed_prune_leaves_no_half_version(save: Any, catalog: DataCatalog, tmp_path: Path) -> None:
    for day in DAYS[:3]:
        save("panel", day)
    root = tmp_path / "panel.json"
    program = KILLED.replace("OLD", DAYS[0]).replace("NEW", DAYS[2])
    done = subprocess.run([sys.executable, "-c", program, str(root)], check=False)
    assert done.returncode == 9
    (away,) = root.glob(".*.partial")
    assert len(list(away.iterdir())) == 2
    assert [path.name for path in find_versions(catalog, 1)[0].old] == [DAYS[1]]
    # The next time removes the rest.
    delete(find_versions(catalog, 1), tmp_path / "locks")
    assert [name for name in left(tmp_path, "panel") if name != "locks"] == [DAYS[2]]


def test_every_choice_of_what_to_keep_keeps_all_that_it_needs(save: Any, catalog: DataCatalog) -> None:
    for number, (model, panel) in enumerate(itertools.product(DAYS[:3], repeat=2)):
        if number < 3:
            save("panel", DAYS[number])
            save("model", DAYS[number], DAYS[2 - number])
        save("scores", f"2024-02-0{number + 1}T00.00.00.000Z", model if number % 2 else panel)
    for count in (1, 2, 5):
        found = {item.artifact: item for item in find_versions(catalog, count)}
        staying = {path for item in found.values() for path in (*item.newest, *item.needed)}
        for path in staying:
            assert set(prune.made_from(catalog, path)) <= staying
