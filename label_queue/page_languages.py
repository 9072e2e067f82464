"""Which languages the labelers' pages are in: those that have a file of words."""

from __future__ import annotations

from pathlib import Path

WORDS = Path(__file__).parent / "intake" / "pages" / "static" / "languages"
"""A file of words for each language, named by its tag: "de.json"."""
PAGE_LANGUAGES = tuple(sorted(path.stem for path in WORDS.glob("*.json")))
"""Tags of the languages, e.g. ("ar", "de", "en")."""
