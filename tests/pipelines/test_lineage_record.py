"""A lineage that is damaged is told and stops nothing."""

import json
from pathlib import Path

import pytest
from kedro.io import DataCatalog, Version
from kedro.pipeline import Pipeline, node
from rich.tree import Tree

from atft_pipeline.code_hashes import CodeHashes
from atft_pipeline.datasets.contents import LINEAGE
from atft_pipeline.datasets.tables import JsonDataset
from atft_pipeline.lineage import FileHashes
from atft_pipeline.pipelines.freshness import ancestry, check, read_record, write_record

VERSION = "2024-01-02T00.00.00.000Z"
MADE = {
    "node": "evaluate",
    "fingerprint": "a1b2",
    "inputs": {"panel": {"version": VERSION, "fingerprint": "c3d4"}},
    "parameters": {"params:evaluation": "e5f6"},
    "code": "0718",
}


def value() -> int:
    return 1


@pytest.fixture
def catalog(tmp_path: Path) -> DataCatalog:
    dataset = JsonDataset(str(tmp_path / "metrics.json"), Version(None, VERSION))
    dataset.save([1])
    catalog = DataCatalog({"metrics": dataset})
    write_record(catalog, "metrics", MADE)
    return catalog


def test_a_version_is_told_once_and_a_folder_to_work_in_not_at_all(catalog: DataCatalog, tmp_path: Path) -> None:
    """Scores and metrics were made from one panel, which was made from a raw file."""
    raw = {"version": "", "fingerprint": "raw0"}
    nothing = {"version": "", "fingerprint": ""}
    panel = {"version": VERSION, "fingerprint": "c3d4"}
    parents = {"panel": {"raw_prices": raw, "workspace": nothing}, "scores": {"panel": panel}}
    for name, inputs in parents.items():
        catalog[name] = JsonDataset(str(tmp_path / f"{name}.json"), Version(None, VERSION))
        catalog.save(name, [1])
        write_record(catalog, name, MADE | {"node": name, "inputs": inputs, "parameters": {f"params:{name}": "e5f6"}})
    inputs = {"panel": panel, "scores": {"version": VERSION, "fingerprint": "a1b2"}}
    write_record(catalog, "metrics", MADE | {"inputs": inputs})
    tree = ancestry(catalog, "metrics", Tree("metrics"))
    assert tree.label == f"metrics {VERSION}  node evaluate  code 0718"
    own, first, scores = tree.children
    assert own.label == "params:evaluation e5f6"
    assert first.label == f"panel {VERSION}  node panel  code 0718"
    assert [branch.label for branch in first.children] == ["params:panel e5f6", "raw_prices raw0"]
    _, again = scores.children
    assert (again.label, again.children) == (f"panel {VERSION} (see above)", [])


def test_a_record_is_read_as_it_was_written(catalog: DataCatalog, tmp_path: Path) -> None:
    record = read_record(tmp_path / "metrics.json" / VERSION)
    assert record == {"artifact": "metrics", "version": VERSION, **MADE}
    assert [path.name for path in (tmp_path / "metrics.json" / VERSION).glob(".*")] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "3",
        "{}",
        '{"node": "evaluate"}',
        json.dumps(MADE | {"inputs": 3}),
        json.dumps(MADE | {"inputs": {"panel": "x"}}),
        json.dumps(MADE | {"parameters": []}),
        json.dumps(MADE | {"node": None}),
        None,
        "a folder",
    ],
)
def test_a_damaged_record_is_told_and_stops_nothing(
    catalog: DataCatalog, tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str | None
) -> None:
    path = tmp_path / "metrics.json" / VERSION / LINEAGE
    if text is None:
        path.write_text(path.read_text().replace("c3d4", "c3d5"))
    elif text == "a folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_text(text)
    tree = ancestry(catalog, "metrics", Tree("metrics"))
    assert [branch.label for branch in tree.children] == ["no lineage was recorded"]
    (found,) = check(
        Pipeline([node(value, None, "metrics", name="evaluate")]), catalog, FileHashes(None), CodeHashes(None)
    )
    assert found.state == "stale"
    told = {record.getMessage() for record in caplog.records if record.levelname == "WARNING"}
    (line,) = told
    assert line.startswith(f"metrics {VERSION}: its lineage.json is damaged ({path})")
