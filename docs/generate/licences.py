"""Write ``LICENCES.md``: the licence of every package that the project needs, from what is installed.

    python docs/generate/licences.py

A test compares the file with the installed packages.
"""

from importlib.metadata import PackageNotFoundError, files, metadata, requires
from pathlib import Path

from packaging.requirements import Requirement

FILE = Path(__file__).resolve().parents[2] / "LICENCES.md"
HEAD = """# Licences of the packages that are installed with this project

Made by `python docs/generate/licences.py` of the metadata of the tested versions (`constraints.txt`); tools of
development are not among them, nor what only another system or a CUDA build of torch brings.

| package | licence |
|---|---|
"""
LONGEST = 60
WORDS = {
    "Permission is hereby granted, free of charge": "MIT",
    "Redistribution and use in source and binary forms": "BSD",
}


def needed(package: str) -> set[str]:
    """Names of all packages that one needs, itself left out, by their metadata."""
    found: set[str] = set()
    waiting = [(package, "")]
    seen: set[tuple[str, str]] = set()
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            lines = requires(name) or []
        except PackageNotFoundError:
            continue
        found.add(str(metadata(name)["Name"]))
        for requirement in map(Requirement, lines):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                waiting += [(requirement.name, asked) for asked in ["", *requirement.extras]]
    return found - {str(metadata(package)["Name"])}


def licence(package: str) -> str:
    """Licence of a package in a few words: its expression, else its classifiers, else its text's first line."""
    told = metadata(package)
    classifiers = told.get_all("Classifier") or []
    named = ", ".join(line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License"))
    text = str(told.get("License") or "").strip().partition("\n")[0][:LONGEST] or recognised(package)
    return str(told.get("License-Expression") or named or text)


def recognised(package: str) -> str:
    """Licence by the words of the text that lies beside the installed package."""
    found = [path for path in files(package) or [] if path.name.upper().startswith(("LICEN", "COPYING"))]
    text = " ".join(found[0].read_text(encoding="utf-8").split()) if found else ""
    return next((name for words, name in WORDS.items() if words in text), "not told")


def page() -> str:
    """The whole file."""
    rows = [f"| {name} | {licence(name)} |" for name in sorted(needed("atft-pipeline"), key=str.lower)]
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
