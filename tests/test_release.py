"""What goes with a release."""

import re
import runpy

from tests.project import ROOT

LICENCES = runpy.run_path(str(ROOT / "docs/generate/licences.py"))


def test_the_licences_are_those_of_the_installed_packages() -> None:
    """Of the packages that this system has and the file names; a CUDA build of torch brings others."""
    named = dict(re.findall(r"^\| (\S+) \| (.+) \|$", LICENCES["FILE"].read_text(encoding="utf-8"), re.MULTILINE))
    named.pop("package")
    optional = re.compile(r"nvidia|cuda|triton", re.IGNORECASE)
    installed = {name for name in LICENCES["needed"]("atft-pipeline") if not optional.match(name)}
    assert {name for name in named if not optional.match(name)} == installed
    assert {name: LICENCES["licence"](name) for name in installed} == {name: named[name] for name in installed}
    assert "not told" not in named.values()


def test_every_constraint_is_exact() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in lines)


def test_the_changelog_names_the_version_to_come() -> None:
    assert "\n## [Unreleased]\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
