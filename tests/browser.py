"""A page as a browser shows it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import CI


def browser() -> str:
    """Chromium's program; a machine without it skips the test, unless it is the one that must run everything."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None and not CI:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    assert found is not None, "no chromium on this machine: apt-get install --no-install-recommends chromium"
    return found


def open_page(address: str, folder: Path, *flags: str) -> tuple[str, list[str]]:
    """Load a page and run its scripts.

    Args:
        address: of the page.
        folder: for the browser's own files.
        flags: further ones for the browser.

    Returns:
        The document after its scripts, and what they wrote on the console.
    """
    fixed = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1600,1200", "--enable-logging=stderr"]
    limits = [f"--user-data-dir={folder}", "--virtual-time-budget=30000", "--dump-dom"]
    command = [browser(), *fixed, *limits, *flags, address]
    page = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return page.stdout, re.findall(r":CONSOLE:\d+\] \"?(.*)", page.stderr)
