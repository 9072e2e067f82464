"""Systems measured on the same prompts: by what a rule writes, and by what a policy draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from benchmarks.kept_results import KeptResults
from cluster.config import RunConfig
from examples.tasks.drawing import Content, Response, draw
from examples.tasks.measures import KeptMeasures
from examples.tasks.whole_run import digest_of
from label_queue.simulated.config import LabelerProfile

T = TypeVar("T")
M = TypeVar("M", bound=KeptMeasures)


class Judge(Generic[T, M]):
    """Measures systems on the same things, and keeps what was drawn from policies.

    Args:
        given: What every system is given, e.g. articles.
        prompt: Returns the prompt that one of them is.
        measure: Returns the measures of one response to each, as labelers judge.
        kept: Returns measures as a file of results has them.
        results: Kept measures, by system, recipe (the digest of the policy's config), seed, and how
            many are given.
    """

    def __init__(
        self,
        given: Sequence[T],
        prompt: Callable[[T], Content],
        measure: Callable[[Sequence[T], Sequence[Response], Sequence[LabelerProfile]], M],
        kept: Callable[[Mapping[str, Any]], M],
        results: KeptResults,
    ) -> None:
        self._given = given
        self._prompt = prompt
        self._measure = measure
        self._kept = kept
        self._results = results

    def written(self, write: Callable[[T], str], config: RunConfig) -> M:
        """Measure what a rule makes of each; the config says who labels."""
        responses = [Response(text=write(each)) for each in self._given]
        return self._measure(self._given, responses, config.labelers)

    def policy(self, name: str, seed: int, config: RunConfig, made: Callable[[], Path]) -> M:
        """Measure what a policy draws, one response to each.

        Args:
            name: What the table calls it.
            seed: Of what it draws.
            config: What it was made by; its responses end, and its labelers judge, as that says.
            made: Returns its folder, once measures have to be made.
        """

        def measured() -> dict[str, float]:
            prompts = [self._prompt(each) for each in self._given]
            drawn = draw(made(), prompts, config.response, seed)
            return self._measure(self._given, drawn, config.labelers).to_keep()

        key = (name, digest_of(config), seed, len(self._given))
        return self._kept(self._results.made(key, measured))
