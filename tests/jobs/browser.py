"""A page as a real browser shows it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

__all__ = ["data", "drawn", "needs_chromium"]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not here: install the package chromium")


def data(html: str) -> dict[str, Any]:
    """What is embedded in a page."""
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, flags=re.S)
    told: dict[str, Any] = json.loads(found)
    return told


def drawn(html: str, folder: Path, script: str = "") -> str:
    """The document as Chromium has it after the page's script, and then ``script``, has run."""
    path = folder / "page.html"
    path.write_text(html.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    quiet = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--lang=en-US"]
    command = [str(CHROMIUM), *quiet, f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=4000", "--dump-dom", path.as_uri()]
    return subprocess.run(command, capture_output=True, check=True, encoding="utf-8", timeout=120).stdout
