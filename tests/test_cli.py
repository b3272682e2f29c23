"""What a user types wrong ends in one line; ``--params`` reads values as YAML."""

from typing import Any

import click
import pytest
from kedro.io import DatasetError

from atft_pipeline.cli import cli, one_line, parameter_line, split_params
from atft_pipeline.errors import ConfigError

RUN = cli.commands["run"]


def read(text: str) -> Any:
    return split_params(click.Context(RUN), RUN.params[0], text)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a=1,b.c=2.5", {"a": 1, "b": {"c": 2.5}}),
        ("q=[0.1,0.9]", {"q": [0.1, 0.9]}),
        ("q=[0.1, 0.5, 0.9], a=true", {"q": [0.1, 0.5, 0.9], "a": True}),
        ("q=[[1,2],[3]],a=x", {"q": [[1, 2], [3]], "a": "x"}),
        ("g={k: 1, l: [2,3]},a=null", {"g": {"k": 1, "l": [2, 3]}, "a": None}),
        ("p=[{a: one, b: 1},{a: two, b: 2}]", {"p": [{"a": "one", "b": 1}, {"a": "two", "b": 2}]}),
        ("a='x,y',b=\"1,2\"", {"a": "x,y", "b": "1,2"}),
        ("l=['a,b','c']", {"l": ["a,b", "c"]}),
        ("prices=/o'brien/a b,size=large", {"prices": "/o'brien/a b", "size": "large"}),
        ("w.5=1", {"w": {"5": 1}}),
        ("lr=1e-3", {"lr": 1e-3}),
        ("x=[],y={}", {"x": [], "y": {}}),
        ("a=1,,b=2,", {"a": 1, "b": 2}),
        ("", {}),
    ],
)  # fmt: skip
def test_values_are_yaml(text: str, values: dict[str, Any]) -> None:
    assert read(text) == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "a must be KEY=VALUE"),
        ("a=1,b", "b must be KEY=VALUE"),
        ("=1", "=1 must be KEY=VALUE"),
        ("a..b=1", "must be KEY=VALUE"),
        (".a=1", "must be KEY=VALUE"),
        ("a.=1", "must be KEY=VALUE"),
        ("a[0]=1", "must be KEY=VALUE"),
        ("q=[1,2", "a bracket or a quote is not closed in q=[1,2"),
        ("q=1]", "a bracket or a quote is not closed"),
        ("q='x", "a bracket or a quote is not closed"),
        ("q={a: 1, b}: c", "cannot read"),
        ("q=[1}", "cannot read"),
        ("q=@x", "cannot read"),
        ("a=1,a.b=2,a.c.d=@", "cannot read"),
    ],
)
def test_what_cannot_be_read_is_one_line(text: str, message: str) -> None:
    with pytest.raises(click.ClickException) as caught:
        read(text)
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_the_line_of_an_error_is_that_of_its_cause() -> None:
    error = DatasetError("Failed while loading data from dataset x.\nNo such\n  thing")
    error.__cause__ = OSError("No such thing")
    assert one_line(error) == "Failed while loading data from dataset x. No such thing"
    error.__cause__ = ConfigError("x: must be 3")
    assert one_line(error) == "x: must be 3"
    assert one_line(KeyError("x")) is None


def test_each_key_of_a_group_carries_the_name_of_the_group() -> None:
    report = (
        "Parameter validation failed:\n- Parameter 'a': Failed to instantiate Params[A] for parameter 'a': "
        "b.c: must be 1, got 'x; y'; d[0].e: must be 2; f: must be 3\n- Parameter 'g': value is None but"
    )
    assert parameter_line(report) == (
        "parameter a.b.c: must be 1, got 'x; y'; a.d[0].e: must be 2; a.f: must be 3; "
        "g: must be a group of keys and values ({} takes the defaults), got null"
    )
