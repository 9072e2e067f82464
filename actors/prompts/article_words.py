"""The words of the generated articles, by class. No word stands in two of them."""

from __future__ import annotations

from actors.prompts.words import CITIES


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PEOPLE = _words(
    "mayor farmer baker teacher sailor doctor singer painter judge minister captain nurse student "
    "engineer gardener tailor pilot miller banker dentist"
)
DEEDS = _words(
    "opened closed bought sold built moved found lost repaired cleaned rescued burned counted "
    "borrowed"
)
"""Past tenses that are also the participle."""
THINGS = _words(
    "schools boats bridges houses gardens horses statues clocks bells towers shops tents trains "
    "mills barns wells stables theatres lamps maps"
)
NUMBERS = _words("two three four five six seven eight nine ten eleven twelve twenty")
PLACES = CITIES
DAYS = _words("monday tuesday wednesday thursday friday saturday sunday")
CAUSES = _words("storm flood fire strike election harvest wedding drought parade earthquake")

TIMES_BEFORE = ("a year ago", "last winter", "long before", "some years earlier")
"""What the event before the news is put into the past with; none names a place or a day."""
COLOURS = (
    "many neighbors came to look",
    "nobody was hurt",
    "the weather was fine",
    "people spoke of little else",
    "some had their doubts",
    "a crowd cheered for hours",
    "the news spread quickly",
    "nobody had expected it",
    "children played nearby",
    "a band was heard",
)
"""Sentences without a fact that could be checked."""
