"""Fills a page: words where they belong, data as JSON that no text can break out of."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape
from importlib import resources
from typing import Any

__all__ = ["fill"]

_EMBEDDED = str.maketrans({"<": r"\u003c", ">": r"\u003e", "&": r"\u0026", "\u2028": r"\u2028", "\u2029": r"\u2029"})


def fill(package: str, words: Mapping[str, str], data: Any) -> str:
    """The ``page.html`` of a package with ``{{name}}`` replaced by words, and ``{{data}}`` by data."""
    embedded = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).translate(_EMBEDDED)
    filled = {name: escape(text) for name, text in words.items()} | {"data": embedded}
    template = resources.files(package).joinpath("page.html").read_text(encoding="utf-8")
    # One pass: what is filled in is never looked at again.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: filled[found[1]], template)
