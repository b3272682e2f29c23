"""The database of a search: it gives nothing of a password away, and says in one line what is wrong with it."""

import sqlite3
import traceback
from contextlib import closing
from pathlib import Path

import optuna
import pytest

from atft_pipeline.errors import ArtifactError, AtftError, ConfigError
from atft_pipeline.tuning.config import HpoConfig
from atft_pipeline.tuning.database import explained, hidden, open_storage
from atft_pipeline.tuning.samplers import quiet
from atft_pipeline.tuning.storage import SharedStudy
from tests.tuning.studies import scripted, search_config

ADDRESSES = [
    "postgresql+psycopg://me:CANARY@127.0.0.1:1/none",
    "postgresql+psycopg://me:CANARY@CANARY@127.0.0.1:1/none",
    "postgresql+psycopg://me:x@CANARY/y@127.0.0.1:1/none",
    "postgresql+psycopg://me:x@h?CANARY@127.0.0.1:1/none",
    "postgresql+psycopg://me:CAN{ARY}CANARY%(s)s@127.0.0.1:1/none",
    "postgresql+psycopg://me/x:CANARY@127.0.0.1:1/none",
    "postgresql+psycopg://me%3ACANARY@127.0.0.1:1/none",
    "postgresql+psycopg://me:CANARY",
    "postgresql+psycopg://:CANARY@",
    "postgresql+psycopg://me:CANARY@/none?port=1&host=127.0.0.1",
    "postgresql+psycopg://CANARY%40host/none",
    "postgresql+psycopg://127.0.0.1:1/none?user=me&password=CANARY&sslpassword=CANARY",
    "postgresql+psycopg://127.0.0.1:1/none?passwort=CANARY",
    "postgresql+psycopg://127.0.0.1:1/none?sslmode=CANARY",
    "postgresql+psycopg://127.0.0.1:1/none;password=CANARY",
    "postgresql+psycopg://me:CANARY@127.0.0.1:port/none",
    "postgresql+nodriver://me:CANARY@127.0.0.1:1/none",
    "mysql://me:CANARY@127.0.0.1:1/none",
    "me:CANARY@127.0.0.1:1/none",
    "host=127.0.0.1 password=CANARY",
    "sqlite://me:CANARY@127.0.0.1/none",
    "sqlite:///none.db?password=CANARY",
    "sqlite://",
]


@pytest.mark.parametrize("url", ADDRESSES)
def test_no_address_gives_anything_of_a_password_away(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(AtftError) as caught:
        open_storage(url)
    told = [*traceback.format_exception(caught.value), caplog.text]
    try:
        told.append(hidden(url))
    except ConfigError as refused:
        told.extend(traceback.format_exception(refused))
    assert "CANARY" not in "".join(told)
    assert "\n" not in str(caught.value)


def test_what_is_shown_of_an_address_is_the_place() -> None:
    full = "postgresql+psycopg://me:secret@db.example.org:5433/studies?sslmode=require"
    assert hidden(full) == "postgresql+psycopg://db.example.org:5433/studies"
    assert hidden("postgresql+psycopg://me:s%40t@[::1]/studies") == "postgresql+psycopg://[::1]/studies"
    assert hidden("sqlite:////tmp/a b/optuna.db") == "/tmp/a b/optuna.db"


def damage(path: Path, kind: str) -> None:
    """Leave something else where a study was."""
    whole = path.read_bytes()
    if kind == "folder":
        path.unlink()
        path.mkdir()
    elif kind == "other tables":
        path.unlink()
        with closing(sqlite3.connect(path)) as other:
            other.execute("create table experiments (name text)")
            other.execute("create table alembic_version (version_num text)")
            other.commit()
    elif kind == "other columns":
        with closing(sqlite3.connect(path)) as other:
            other.execute("alter table trials rename column state to condition")
            other.commit()
    elif kind == "flipped":
        path.write_bytes(whole.replace(b'{"targets"', b'["targets"'))
    elif kind == "other version":
        with closing(sqlite3.connect(path)) as other:
            other.execute("update version_info set schema_version = 1, library_version = '0.1'")
            other.execute("update alembic_version set version_num = 'v0.9.0.a'")
            other.commit()
    else:
        half = len(whole) // 2
        path.write_bytes(
            {"text": b"not a database\n" * 300, "short": whole[:half], "holes": whole[:4096] + bytes(half)}[kind]
        )


def read(url: str, config: HpoConfig) -> None:
    opened = open_storage(url)
    with explained(url), quiet():
        SharedStudy(opened, "study", "fingerprint", config).study.get_trials()


@pytest.mark.parametrize(
    "kind", ["text", "short", "holes", "flipped", "folder", "other tables", "other columns", "other version"]
)
def test_a_damaged_or_foreign_file_is_one_line_with_its_name_and_a_remedy(tmp_path: Path, kind: str) -> None:
    path, config = tmp_path / "optuna.db", search_config(1)
    made = scripted(f"sqlite:///{path}", config, tmp_path)
    made.run()
    made.shared.storage.engine.dispose()
    damage(path, kind)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(ArtifactError) as caught:
        read(f"sqlite:///{path}", config)
    line = str(caught.value)
    assert line.startswith(str(path))
    assert "\n" not in line
    assert "move it away" in line or "may write" in line
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_a_study_of_another_program_is_not_taken_for_ours(tmp_path: Path) -> None:
    url, config = f"sqlite:///{tmp_path}/optuna.db", search_config(1)
    with quiet():
        optuna.create_study(storage=url, study_name="study").optimize(lambda _: 1.0, n_trials=1)
    with pytest.raises(ArtifactError, match=r"study study is not of this project.*hpo\.study"):
        scripted(url, config, tmp_path)
    assert optuna.load_study(storage=url, study_name="study").user_attrs == {}


def test_a_file_where_the_folder_should_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ArtifactError, match=r"optuna\.db: .*may this user write there"):
        open_storage(f"sqlite:///{tmp_path}/file/optuna.db")
