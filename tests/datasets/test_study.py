from typing import Any

import pytest
from kedro.io import DatasetError

from atft_pipeline.datasets.study import StudyStorageDataset


def test_without_credentials_a_study_lies_in_a_file() -> None:
    assert StudyStorageDataset("data/optuna.db", {}).load() == "sqlite:///data/optuna.db"


def test_credentials_name_the_database_and_are_not_described() -> None:
    dataset = StudyStorageDataset("data/optuna.db", {"url": "postgresql+psycopg://me:secret@host/db"})
    assert dataset.load() == "postgresql+psycopg://me:secret@host/db"
    assert "secret" not in str(dataset)


def test_an_unknown_key_and_a_save_are_refused() -> None:
    with pytest.raises(DatasetError, match="it takes one key, url"):
        StudyStorageDataset("data/optuna.db", {"password": "x"})
    with pytest.raises(DatasetError, match="read only: no node may give it as its output") as caught:
        StudyStorageDataset("data/optuna.db").save("postgresql://me:secret@host/db")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("given", ["postgresql://me:CANARY@h/d", {"CANARY": 1}, {"url": ["CANARY"]}, {"url": 5}])
def test_credentials_of_another_shape_are_not_repeated(given: Any) -> None:
    with pytest.raises(DatasetError, match="it takes one key, url") as caught:
        StudyStorageDataset("data/optuna.db", given)
    assert "CANARY" not in str(caught.value)
