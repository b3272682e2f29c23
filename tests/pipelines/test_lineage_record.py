"""A lineage that is damaged is told and stops nothing."""

import json
from pathlib import Path

import pytest
from kedro.io import DataCatalog, Version
from kedro.pipeline import Pipeline, node
from rich.tree import Tree

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
    (found,) = check(Pipeline([node(value, None, "metrics", name="evaluate")]), catalog, FileHashes(None))
    assert found.state == "stale"
    told = {record.getMessage() for record in caplog.records if record.levelname == "WARNING"}
    (line,) = told
    assert line.startswith(f"metrics {VERSION}: its lineage.json is damaged ({path})")
