"""The configuration is complete without hooks; environments lie over the base; a broken file is one line."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog

from atft_pipeline.config import overlay
from atft_pipeline.config_loader import ProjectConfigLoader
from atft_pipeline.errors import ConfigError
from atft_pipeline.settings import CONFIG_LOADER_ARGS
from tests.project import ROOT

# Kedro registers its resolvers under an older name.
pytestmark = pytest.mark.filterwarnings("ignore:.*register_new_resolver:UserWarning")

SECRET = "p@:/#s%?w0rd"


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return Path(shutil.copytree(ROOT / "conf", tmp_path / "conf"))


def loader(conf: Path, env: str | None = None, **params: Any) -> ProjectConfigLoader:
    return ProjectConfigLoader(conf, env, runtime_params=params, **CONFIG_LOADER_ARGS)


def read(conf: Path, kind: str) -> dict[str, Any]:
    found = loader(conf)
    found.config_patterns["mlflow"] = ["mlflow*"]
    return found[kind]


def test_the_catalog_is_built_without_hooks_and_without_a_file_of_credentials(conf: Path) -> None:
    found = loader(conf)
    catalog = DataCatalog.from_config(found["catalog"], credentials=found["credentials"])
    assert catalog.load("study_storage").startswith("sqlite:///")


def test_the_winner_of_a_search_is_there_without_hooks(conf: Path) -> None:
    path = conf.parent / "data/06_models/best_parameters.yml/2026-01-01T00.00.00.000Z/best_parameters.yml"
    path.parent.mkdir(parents=True)
    path.write_text("training: {epochs: 7, seed: 3}\n")
    assert loader(conf)["parameters"]["training"]["epochs"] == 4
    assert loader(conf, training={"from_study": "best", "seed": 9})["parameters"]["training"] == {
        "epochs": 7,
        "seed": 9,
        "from_study": "best",
    }


def test_one_key_of_a_group_leaves_the_others_of_the_base(conf: Path) -> None:
    base = loader(conf)["parameters"]
    (conf / "local/parameters.yml").write_text(
        "training: {epochs: 2, optimizer: {lr: 0.5}}\nbatches: {features: [A]}\nloss: {horizon_weights: {}}\n"
    )
    found = loader(conf)["parameters"]
    optimizer = {**base["training"]["optimizer"], "lr": 0.5}
    assert found["training"] == {**base["training"], "epochs": 2, "optimizer": optimizer}
    assert found["batches"] == {**base["batches"], "features": ["A"]}
    assert found["loss"]["horizon_weights"] == {}
    given = loader(
        conf, training={"epochs": 3}, batches={"features": []}, loss={"horizon_weights": {5: 1.0}}
    )  # as of --params
    assert given["parameters"]["training"]["epochs"] == 3
    assert given["parameters"]["training"]["ema_decay"] == base["training"]["ema_decay"]
    assert given["parameters"]["batches"]["features"] == []
    assert given["parameters"]["loss"]["horizon_weights"] == {5: 1.0, 10: 0.3, 20: 0.2}


def test_an_empty_mapping_of_the_command_line_empties(conf: Path) -> None:
    assert loader(conf, loss={"horizon_weights": {}})["parameters"]["loss"]["horizon_weights"] == {}


def test_production_means_what_its_file_says(conf: Path) -> None:
    found, base = loader(conf, "production")["parameters"], loader(conf)["parameters"]
    assert found["loss"] == {"horizon_weights": {}}
    assert found["targets"] == {"neutral_to": ["BETAMKT60"]}
    assert [item["path"] for item in found["hpo"]["space"]][1] == "batches.batch_size"
    assert found["batches"]["features"] == ["*"]
    # A key that production does not name is the base's.
    assert found["residency"] == base["residency"]


def test_mlflow_is_overridden_key_by_key_and_a_dataset_as_a_whole(conf: Path) -> None:
    (conf / "local/mlflow.yml").write_text("experiment: mine\n")
    (conf / "local/catalog.yml").write_text("metrics: {type: kedro_datasets.json.JSONDataset, filepath: here.json}\n")
    found = loader(conf)
    found.config_patterns["mlflow"] = ["mlflow*"]
    assert found["mlflow"]["experiment"] == "mine"
    assert "train" not in found["mlflow"]["untracked"]
    assert found["catalog"]["metrics"] == {"type": "kedro_datasets.json.JSONDataset", "filepath": "here.json"}


def test_credentials_of_the_user_stand_beside_the_optional_ones(conf: Path) -> None:
    assert loader(conf)["credentials"] == {"hpo_storage": {}}
    (conf / "local/credentials.yml").write_text("hpo_storage: {url: 'sqlite:///a.db'}\nother: {key: 1}\n")
    assert loader(conf)["credentials"] == {"hpo_storage": {"url": "sqlite:///a.db"}, "other": {"key": 1}}


def test_without_conf_local_the_base_stands_alone(conf: Path) -> None:
    whole = loader(conf)["parameters"]
    shutil.rmtree(conf / "local")
    assert loader(conf)["parameters"] == whole


@pytest.mark.parametrize("env", ["nowhere", "prodution"])
def test_an_environment_without_a_folder_is_named(conf: Path, env: str) -> None:
    with pytest.raises(ConfigError, match=rf"^--env={env}: conf/{env} does not exist; there are: base, local, produ"):
        loader(conf, env)


FAULTS = [
    (b"a: 1\nb: [1, 2\nc: 3\n", r":\d+: is no valid YAML"),
    (b"a: 1\n\tb: 2\n", r":2: is no valid YAML"),
    (b"a: {b: 1, b: 2}\n", r":1: is no valid YAML"),
    (b"a: 1\nb: 2\na: 3\n", r":3: is no valid YAML"),
    (b"a: 'x\n", r":\d+: is no valid YAML"),
    (b"a: @home\n", r":1: is no valid YAML"),
    (b"- a\n- b\n", r": must hold keys and values .*it holds a list"),
    (b"3\n", r": must hold keys and values"),
    (b"a: 1\nb: \xff\xfe\n", r":2: is not UTF-8; save it as UTF-8"),
    (b"\xff\xfea\x00:\x00", r":1: is not UTF-8; save it as UTF-8"),
    (b"a: 1\x00\n", r".*: is no valid YAML"),
    (b"a: *nowhere\n", r":1: is no valid YAML"),
    (b"a: ${nowhere}\n", r".*nowhere"),
    (b"a: ${\n", r".*"),
]


@pytest.mark.parametrize("kind", ["parameters", "catalog", "globals", "mlflow", "credentials"])
@pytest.mark.parametrize("env", ["base", "local"])
@pytest.mark.parametrize(("content", "message"), FAULTS)
def test_a_broken_file_is_one_line_with_its_name(conf: Path, kind: str, env: str, content: bytes, message: str) -> None:
    if kind == "globals":
        (conf / env / "globals.yml").unlink(missing_ok=True)
    name = {"parameters": "parameters_mine", "catalog": "catalog_mine", "mlflow": "mlflow_mine"}.get(kind, kind)
    (conf / env / f"{name}.yml").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read(conf, kind)
    line = str(caught.value)
    assert "\n" not in line
    assert str(conf) not in line
    if b"$" in content:
        assert line.startswith((f"{kind} of conf: ", f"{kind}: ", f"conf/{env}/{name}.yml: "))
    else:
        assert re.match(rf"conf/{env}/{name}\.yml{message}", line), line


@pytest.mark.parametrize(
    "text",
    [
        "hpo_storage:\n  url: {secret}\n  url: {secret}\n",
        "hpo_storage:\n\turl: {secret}\n",
        "hpo_storage: {{url: @{secret}}}\n",
        "hpo_storage: {{url: '{secret}}}\n",
        "hpo_storage: {{{secret}: 1, {secret}: 2}}\n",
        "hpo_storage: {{url: '${{{secret}}}'}}\n",
        "- {secret}\n",
        "%{secret}\n",
        "hpo_storage: &{secret} *{secret}x\n",
    ],
)
def test_nothing_of_credentials_is_said(conf: Path, text: str) -> None:
    (conf / "local/credentials.yml").write_text(text.format(secret=SECRET))
    with pytest.raises(ConfigError) as caught:
        _ = loader(conf)["credentials"]
    assert str(caught.value).startswith(("conf/local/credentials.yml:", "credentials: cannot be resolved"))
    assert "w0rd" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("below", "above", "merged"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"a": 1}, {"b": {"c": 2}}, {"a": 1, "b": {"c": 2}}),
        ({"a": {"b": 1}}, {"a": 2}, {"a": 2}),
        ({"a": {"b": 1, "c": [1, 2]}}, {"a": {"c": [3]}}, {"a": {"b": 1, "c": [3]}}),
        ({"a": {"b": {"c": 1}, "d": 2}}, {"a": {"b": {}}}, {"a": {"b": {}, "d": 2}}),
    ],
)
def test_nested_values_lie_over_others_key_by_key(
    below: dict[str, Any], above: dict[str, Any], merged: dict[str, Any]
) -> None:
    assert overlay(below, above) == merged
