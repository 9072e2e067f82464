"""Names of files that mean something else to whatever takes them for text."""

from __future__ import annotations

EVERY_CHARACTER = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "/")
"""All of printable ASCII that a name may hold."""

OTHER_CHARACTERS = "süß 😀 \u202eabc\u202c \u2028 %41 .%2e #?."
"""Beyond ASCII: letters, signs, a text turned round, a line's end; and what URLs decode."""

ODD_NAMES = (
    *sorted(set(EVERY_CHARACTER) - {"."}),
    *("\x01", "\t", "\n", "\x1b[2J", "\x7f"),
    *("é", "e\u0301", "😀", "\u202ecba", "\u2028", "\u00a0"),
    *("%41", "%2541", "%2e%2e", "#", "a#b", "?mode=memory", "file:x", "file:x?y#z", ":memory:"),
    *("-x", "--help", "a.", "...", " a ", "a b", "~", "$HOME", "{0}", "%s", "[a-z]*", "**", "!x"),
    EVERY_CHARACTER,
    OTHER_CHARACTERS,
)
"""One each, so that a failure names what it failed at."""
