"""What is measured of summaries: how good they are, how much is copied, and how much is true.

*Facts* are read by the labelers' own reader. *Copied* is what stands in the article word for word:
the published policies were "smart copiers", whose summaries were true because they were copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean
from typing import Any

from actors.prompts.articles import Article
from examples.tasks.drawing import Response
from examples.tasks.measures import KeptMeasures, preference
from label_queue.simulated.config import LabelerProfile
from label_queue.simulated.gold.facts import facts, news_of
from label_queue.simulated.gold.registry import gold_of

ROUGES = ("rouge1", "rouge2", "rougeL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures(KeptMeasures):
    """Means over the summaries of a system, one of each article."""

    gold: float
    """Gold score."""
    win_gold: float
    """How often it has more gold than the article's reference; a tie is half a win."""
    win_labelers: float
    """How often the run's simulated labelers would choose it over the reference, all equally."""
    rouge1: float
    rouge2: float
    rougeL: float  # noqa: N815 - its name
    """F1 against the reference."""
    true_facts: float
    """The share of all facts stated that the article states; 1 where none is stated."""
    wholly_true: float
    """Summaries without a fact that is false."""
    covered: float
    """The share of the news' facts that is told."""
    words: float
    novel_2: float
    novel_3: float
    """The share of a summary's runs of so many words that are not in the article."""
    longest_copy: float
    """Words of the longest run that stands in the article."""
    sentences_copied: float
    """The share of a summary's sentences that are sentences of the article."""
    finished: float
    """Summaries that ended in time."""

    @classmethod
    def of(
        cls,
        articles: Sequence[Article],
        summaries: Sequence[Response],
        labelers: Sequence[LabelerProfile],
    ) -> Measures:
        """Measure the summaries of a system.

        Args:
            articles: That were summed up.
            summaries: One of each, in their order.
            labelers: Whose choices count.
        """
        texts = [summary.text for summary in summaries]
        pairs = list(zip(articles, texts, strict=True))
        rows = [_of_one(article, summary, labelers) for article, summary in pairs]
        means = {name: fmean(row[name] for row in rows) for name in rows[0]}
        stated = sum(len(facts(text)) for text in texts)
        false = sum(len(false_facts(article, text)) for article, text in pairs)
        return cls(
            **means,
            true_facts=1 - false / stated if stated else 1.0,
            finished=fmean(summary.is_complete for summary in summaries),
        )


def false_facts(article: Article, summary: str) -> list[str]:
    """Return the words that say something which the article does not."""
    known = set(facts(article.text))
    return [fact.value for fact in facts(summary) if fact not in known]


def coverage(article: Article, summary: str) -> float:
    """Return the share of the news' facts that a summary tells."""
    stated = facts(article.text)
    news = {fact for fact in stated if fact.deed == news_of(stated)}
    return len(news.intersection(facts(summary))) / len(news)


def novel_share(article: str, summary: str, size: int) -> float:
    """Return the share of a summary's runs of `size` words that are not in the article.

    0 where the summary is shorter than that.
    """
    known = set(_runs(article.split(), size))
    runs = list(_runs(summary.split(), size))
    return sum(run not in known for run in runs) / len(runs) if runs else 0.0


def longest_copy(article: str, summary: str) -> int:
    """Return the words of the longest run that both hold."""
    there, here = article.split(), summary.split()
    longest = 0
    ends = [0] * (len(there) + 1)  # of the runs that end at each word of the article
    for word in here:
        ends = [0, *(ends[at] + 1 if word == other else 0 for at, other in enumerate(there))]
        longest = max(longest, *ends)
    return longest


def _of_one(article: Article, summary: str, labelers: Sequence[LabelerProfile]) -> dict[str, float]:
    gold = gold_of("summaries")
    value = gold.score(article.prompt, summary)
    beside = gold.score(article.prompt, article.reference)
    sentences = [each.strip() for each in summary.split(".") if each.strip()]
    copied = sum(f"{each} ." in article.sentences for each in sentences)
    return {
        "gold": value,
        "win_gold": 0.5 if value == beside else float(value > beside),
        "win_labelers": fmean(preference(value, beside, each) for each in labelers),
        **_rouge(article.reference, summary),
        "wholly_true": float(not false_facts(article, summary)),
        "covered": coverage(article, summary),
        "words": len(summary.split()),
        "novel_2": novel_share(article.text, summary, 2),
        "novel_3": novel_share(article.text, summary, 3),
        "longest_copy": longest_copy(article.text, summary),
        "sentences_copied": copied / len(sentences) if sentences else 0.0,
    }


def _rouge(reference: str, summary: str) -> dict[str, float]:
    scores = _scorer().score(reference, summary)
    return {name: scores[name].fmeasure for name in ROUGES}


@cache
def _scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # NLTK takes seconds

    return RougeScorer(list(ROUGES))


def _runs(words: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    return (tuple(words[at : at + size]) for at in range(len(words) - size + 1))
