"""The source of the prices is remembered, and commands in messages do what they say."""

from pathlib import Path

import pytest

from atft_pipeline.datasets.raw import RawPathDataset
from atft_pipeline.errors import ConfigError
from atft_pipeline.source import check_paths, complete, describe, recall, remember, with_source


def test_without_a_run_on_other_prices_the_sample_market_is_read(tmp_path: Path) -> None:
    assert recall(tmp_path) == {}
    assert with_source(tmp_path, {"training": {"epochs": 2}}) == {"training": {"epochs": 2}}
    assert describe(tmp_path, {}) == "the sample market"
    remember(tmp_path, "", {})
    assert with_source(tmp_path, {}) == {}


def test_the_source_is_remembered_with_how_its_files_are_read(tmp_path: Path) -> None:
    given = {
        "prices": "real",
        "listings": "/l.csv",
        "ingest": {"prices": {"preset": "jquants"}, "universe": {"min_price": 0.5}},
    }
    remember(tmp_path, "production", given | {"training": {"epochs": 2}})
    found = with_source(tmp_path, {"training": {"epochs": 3}})
    assert found == {
        "prices": str(Path("real").absolute()),
        "listings": "/l.csv",
        "ingest": {"prices": {"preset": "jquants"}, "universe": {"min_price": 0.5}},
        "training": {"epochs": 3},
    }
    assert recall(tmp_path)["env"] == "production"
    told = describe(tmp_path, found)
    assert "listings=/l.csv, ingest.prices.preset=jquants, ingest.universe.min_price=0.5 (as the last run" in told
    # What is asked for now counts more.
    asked = with_source(tmp_path, {"ingest": {"prices": {"preset": "yfinance"}}, "oracle": "o"})
    assert asked["ingest"] == {"prices": {"preset": "yfinance"}, "universe": {"min_price": 0.5}}
    assert asked["listings"] == "/l.csv"
    assert with_source(tmp_path, {"ingest": 3})["ingest"] == 3


def test_other_prices_come_without_the_tables_of_the_remembered_ones(tmp_path: Path) -> None:
    remember(tmp_path, "", {"prices": "/a", "listings": "/l", "ingest": {"prices": {"preset": "jquants"}}})
    assert with_source(tmp_path, {"prices": "/b"}) == {"prices": "/b"}
    assert describe(tmp_path, {"prices": "/b"}) == "prices=/b"
    remember(tmp_path, "", {"prices": "/b"})
    assert recall(tmp_path)["params"] == {"prices": "/b"}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"env": 1}', '{"env": "", "params": 3}', "\x00"])
def test_a_memory_that_cannot_be_read_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/.source.json").write_text(content)
    assert with_source(tmp_path, {}) == {}


@pytest.mark.parametrize(
    ("line", "env", "params", "whole"),
    [
        ("do: kedro run --pipeline=panel", None, {}, "do: kedro run --pipeline=panel"),
        ("do: kedro run --pipeline=panel", "production", {}, "do: kedro run --env=production --pipeline=panel"),
        ("do: kedro run --env=x --pipeline=panel", "production", {}, "do: kedro run --env=x --pipeline=panel"),
        # A stage that reads no raw prices needs none named.
        ("do: kedro run --pipeline=train", None, {"prices": "/p"}, "do: kedro run --pipeline=train"),
        ("do: kedro run --pipeline=data", None, {"prices": "/p"}, "do: kedro run --pipeline=data --params prices=/p"),
        ("(do: kedro refresh)", None, {"prices": "/a b"}, "(do: kedro refresh --params prices='/a b')"),
        ("kedro run; or wait", None, {"prices": "/p"}, "kedro run --params prices=/p; or wait"),
        (
            "kedro run --pipeline=update --params ingest.x=1",
            "e",
            {"prices": "/p", "listings": "/l"},
            "kedro run --env=e --pipeline=update --params prices=/p,listings=/l,ingest.x=1",
        ),
        ("kedro run --pipeline=update --params prices=/q", None, {"prices": "/p"}, None),
    ],
)
def test_commands_are_complete_as_typed(
    tmp_path: Path, line: str, env: str | None, params: dict[str, str], whole: str | None
) -> None:
    assert complete(line, tmp_path, env, params) == (whole or line)


def test_how_new_prices_are_read_goes_with_them(tmp_path: Path) -> None:
    given = {"prices": "/p", "ingest": {"prices": {"columns": {"Close": "px"}}, "universe": {"min_price": 0.5}}}
    whole = "--params prices=/p,ingest.prices.columns.Close=px,ingest.universe.min_price=0.5"
    assert complete("kedro run --pipeline=data", tmp_path, None, given) == f"kedro run --pipeline=data {whole}"
    remember(tmp_path, "", given)
    assert complete("kedro run --pipeline=data", tmp_path, None, given) == "kedro run --pipeline=data"


def test_what_is_remembered_need_not_be_typed(tmp_path: Path) -> None:
    remember(tmp_path, "", {"prices": "/p"})
    assert complete("kedro run --pipeline=data", tmp_path, None, {"prices": "/p"}) == "kedro run --pipeline=data"


@pytest.mark.parametrize("value", [None, "", ["/a", "/b"], {"a": 1}, 1.5, True])
@pytest.mark.parametrize("name", ["prices", "listings", "oracle"])
def test_what_is_no_path_is_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"parameter {name}: must be the path of one file or folder"):
        check_paths({name: value})


def test_a_folder_may_be_named_by_a_year() -> None:
    check_paths({"prices": 2024, "listings": "/l.csv", "training": {"epochs": 2}})
    assert RawPathDataset(2024)._describe()["filepath"] == "2024"
