"""From a gold score's name in a config to the score: each is imported when it is asked for."""

from __future__ import annotations

from functools import cache

from label_queue.simulated.config import GoldName
from label_queue.simulated.gold.port import Gold


@cache
def gold_of(name: GoldName) -> Gold:
    """Return the gold score that a config names; the same one each time.

    Raises:
        MissingError: What it reads by is not installed; says how to install it.
    """
    match name:
        case "reviews":
            from label_queue.simulated.gold.reviews import ReviewsGold

            return ReviewsGold()
        case "descriptiveness":
            from label_queue.simulated.gold.descriptiveness import DescriptivenessGold

            return DescriptivenessGold()
        case "summaries":
            from label_queue.simulated.gold.summaries import SummariesGold

            return SummariesGold()
        case "books":
            from label_queue.simulated.gold.books import BooksGold

            return BooksGold()
        case "dialogues":
            from label_queue.simulated.gold.dialogues import DialoguesGold

            return DialoguesGold()
        case "vader":
            from label_queue.simulated.gold.vader import VaderGold

            return VaderGold()
