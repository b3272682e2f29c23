"""Fingerprints of code and of raw files."""

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from atft_pipeline.code_hashes import CodeHashes, module_file
from atft_pipeline.lineage import FileHashes, hash_file


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of two modules and a template."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "page.py").write_text("from pages import words\n\n\ndef page():\n    return 'page.html.j2', words\n")
    (folder / "words.py").write_text("WORDS = 1\n")
    (folder / "page.html.j2").write_text("<p>{{ words }}</p>")
    (folder / "notes.txt").write_text("nobody reads this")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "pages"]:
        del sys.modules[name]


def now() -> str:
    """Of a process that remembers, which must equal that of one that does not."""
    module_file.cache_clear()
    memory = Path("code.json")
    hashes = CodeHashes(memory, "pages")
    found = hashes.of("pages.page")
    hashes.save()
    assert memory.is_file()
    assert found == CodeHashes(None, "pages").of("pages.page")
    return found


def test_a_template_belongs_to_the_code_that_names_it(package: Path) -> None:
    before = now()
    (package / "notes.txt").write_text("nobody reads this either")
    assert now() == before
    (package / "page.html.j2").write_text("<b>{{ words }}</b>")
    edited = now()
    assert edited != before
    (package / "words.py").write_text("WORDS = 2\n")
    assert now() not in {before, edited}


def test_a_raw_file_of_equal_size_and_time_is_known_by_its_contents(tmp_path: Path) -> None:
    path, memory = tmp_path / "prices.csv", tmp_path / "memory.json"
    path.write_text("Close\n1.0\n")
    hashes = FileHashes(memory)
    first = hashes.of(path)
    hashes.save()
    assert FileHashes(memory).of(path) == first
    stat = path.stat()
    path.write_text("Close\n2.0\n")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    assert FileHashes(memory).of(path) != first
    # Another file moved into its place, with the same size and time.
    other = tmp_path / "other.csv"
    other.write_text("Close\n3.0\n")
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(path)
    assert FileHashes(memory).of(path) not in {first, hash_file(path)}


def test_hashes_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "prices.csv"
    path.write_text("Close\n1.0\n")
    hashes = FileHashes(tmp_path / "memory.json")
    first = hashes.of(path)
    hashes.save()
    monkeypatch.setattr("atft_pipeline.lineage.hash_file", lambda *_: "read again")
    assert FileHashes(tmp_path / "memory.json").of(path) == first
