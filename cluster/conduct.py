"""One run on Ray: the session around it, its parts, the controller among them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from actors.tokenizer import load_tokenizer
from cluster.config import RunConfig
from cluster.controller import Controller
from cluster.ending import Ending
from cluster.guards.evidence import Evidence
from cluster.guards.guards import Guards
from cluster.inert_text import inert
from cluster.loops.checkpoints import RunCheckpoints
from cluster.loops.journal import Journal
from cluster.loops.recorded import recorded
from cluster.loops.reference_ends import ends_in_words
from cluster.loops.scoring import scored_sequence
from cluster.loops.steady_clock import SteadyClock
from cluster.metrics.jsonl_sink import read_metrics
from cluster.metrics.remote import RemoteSink
from cluster.metrics.shell import HUB_OPTIONS, MetricsShell
from cluster.recordings.recorder import Recorder
from cluster.recordings.segment_files import FOLDER
from cluster.recordings.streams import Recordings
from cluster.report.candidate_scores import score_candidates
from cluster.report.records import read_run
from cluster.report.summary import summarize
from cluster.run_folder import OWNER, RunFolder
from cluster.starting.base_model import made_starting_policy, starting_policy_folder
from cluster.starting.environment import cluster_address
from cluster.starting.keeping import on_this_node, start_keeper, whereabouts_of
from cluster.starting.labelers import SimulatedLabelers
from cluster.starting.placement import Placement
from cluster.starting.prompts import RunTexts
from cluster.starting.resumption import Resumption, keep_reference, restored
from cluster.starting.seats import num_cpus_wanted
from cluster.starting.session import RaySession
from cluster.supervision.deadlines import started_within
from cluster.supervision.restarts import Restarts
from cluster.supervision.signs_of_life import SignsOfLife
from cluster.watching.display import RunDisplay
from cluster.watching.inspector import Inspector
from cluster.watching.intake_watch import ANSWER_TIMEOUT_S, IntakeWatch
from cluster.watching.memory import PeakMemory
from cluster.watching.watch import Watch
from cluster.watching.ways_in import scraped_at, way_to_the_pages, ways_in
from label_queue.http_client import open_client
from label_queue.sides.owner import OwnerSide
from label_queue.simulated.gold.registry import gold_of
from protocol.errors import PartFailed, ScoringFailed
from protocol.remote import Remote, spawn
from protocol.tokenizing import PolicyTokenizer
from reward_service.shell import AnnouncerShell

JUDGED = "policy/winrate_judges"
"""A metric that a run has once a judge has answered."""
LAST_LOOK_S = 5.0
"""For the parts to say how they stand at the end: one that hangs must not hold up the saving."""


async def conduct(
    config: RunConfig,
    folder: RunFolder,
    cache: Path,
    console: Console,
    texts: RunTexts | None,
    ending: Ending,
    resumption: Resumption | None = None,
    *,
    starts_again: bool = False,
) -> None:
    """Run until the last episode is trained or the run is stopped.

    Args:
        config: The resolved config.
        folder: The run's, just made.
        cache: Where a base model is kept.
        console: Where progress is shown.
        texts: Prompts and the like, if they were read already.
        ending: Says when the run is to stop.
        resumption: What a run goes on from; None: it begins.
        starts_again: Whether its parts did run, in this process.

    Raises:
        UserError: What was given cannot be run.
        IntegrityError: Something that must hold did not.
    """
    with ExitStack() as stack:
        peak_bytes = folder.read_state().get("peak_memory_bytes") or 0
        memory = stack.enter_context(PeakMemory(peak_bytes=peak_bytes))
        stack.callback(lambda: folder.update_state(peak_memory_bytes=memory.peak_bytes))
        display = stack.enter_context(RunDisplay(console, str(folder.path)))
        session = stack.enter_context(
            RaySession(config.cluster, folder.run_id, num_cpus_wanted(config))
        )
        ending.at_the_cut(session.end_at_once)
        folder.clear_left()  # nobody drafts yet
        whereabouts = whereabouts_of(config, folder)
        keeper = start_keeper(whereabouts)
        hub = _spawn_hub(config, folder, must_start=not starts_again)
        sink = stack.enter_context(closing(RemoteSink(hub)))
        journal = stack.enter_context(_open_journal(config, folder, sink))
        if resumption is not None:
            journal.resume(
                read_metrics(folder.metrics),
                resumption.checkpoint.num_unscored,
                ended_at=resumption.ended_at,
            )
        checkpoints = RunCheckpoints(
            folder.checkpoints,
            folder.policies,
            every_steps=config.learner.checkpoint.every_steps,
            settle=sink.settle,
        )
        watch = Watch(config, folder, journal, display, memory)
        session.nodes.show_by(watch.waits_for_nodes)
        recorder = stack.enter_context(_open_recorder(config, folder))

        policy_path = await starting_policy_folder(config, cache)
        folder.update_state(
            url=session.url,
            pages_url=session.pages_url,
            reward_url=session.reward_url,
            http_port=session.http_port,
            policy_path=str(policy_path),
        )
        if config.metrics.prometheus:
            metrics_url = session.metrics_url
            folder.update_state(metrics_url=metrics_url)
            _tell(console, scraped_at(metrics_url))

        async def prepare() -> None:
            watch.show("preparing the base model")
            async with asyncio.TaskGroup() as group:
                group.create_task(_open_hub(hub))
                making = group.create_task(
                    made_starting_policy(config, policy_path, whereabouts, session.nodes)
                )
            folder.update_state(base_model_s=making.result())
            watch.show("starting actors, learner, reward service and label queue")

        restarts = Restarts(config.cluster.restarts, partial(_restarted, journal, console))
        reward = None if resumption is None else resumption.reward
        async with Placement(
            config, folder, session, policy_path, prepare, texts, restarts, whereabouts, reward
        ) as placement:
            guards = Guards(
                config.guards,
                config.kl,
                labels=placement.parts.labels,
                scorer=placement.parts.reward_service,
                evidence=Evidence(folder),
                tell=journal.guards_measured,
                anchors=placement.texts.anchors,
                compares_scores=config.compares_scores,
                num_normalised=config.reward_model.num_normalisation_samples,
                state=None if resumption is None else resumption.checkpoint.guards,
            )
            parts = recorded(placement.parts, recorder)
            if resumption is None:
                controller = Controller(
                    config, parts, journal, placement.policy, guards, checkpoints
                )
                watch.show("sampling the base model")
                reference = await controller.draw_reference(partial(keep_reference, folder))
                _tell(console, await asyncio.to_thread(_ends, controller, config, policy_path))
            else:
                watch.show("taking up the checkpoint")
                policy = await restored(
                    placement.learner, placement.policy, resumption, checkpoints
                )
                kept, reference = resumption.checkpoint, list(resumption.reference)
                controller = Controller(config, parts, journal, policy, guards, checkpoints, kept)
                await controller.resume(reference, reward, resumption.unserved)
            await placement.start_reward_trainer([scored_sequence(each) for each in reference])
            links = await _admit(config, folder, placement.labels.owner)
            folder.update_state(state="running")
            _tell(console, ways_in(config, session.pages_url, links))
            with SimulatedLabelers(
                config.labelers, config.gold, session.url, folder, restarts
            ) as labelers:
                note = way_to_the_pages(config, session.pages_url, folder.path)
                async with _as_owner(session.url, folder) as http, asyncio.TaskGroup() as group:
                    intake = IntakeWatch(
                        placement.labels.intake_failures, http, journal.alarmed, watch.alarm
                    )
                    watching = group.create_task(
                        watch.watch(placement.labels.policy_loop, lambda: placement.actors, note)
                    )
                    minding = group.create_task(labelers.watch())
                    singles = (
                        *(hub, placement.label_queue),
                        *(placement.intake, placement.announcer, placement.reward_face),
                        *([] if keeper is None else [keeper]),
                    )
                    signs = SignsOfLife(singles, restarts, config.cluster.restarts)
                    listening = group.create_task(signs.watch())
                    hearing = group.create_task(intake.watch())
                    inspector = _inspector(folder, controller, placement, journal, watch)
                    inspecting = group.create_task(inspector.watch())
                    with ending.finishing_by(controller.stop):
                        await controller.run()
                    journal.loops_ended()
                    watching.cancel()
                    listening.cancel()
                    hearing.cancel()
                    inspecting.cancel()
                    inspector.end()
                    await labelers.stop()
                    minding.cancel()
                acknowledged = labelers.num_acknowledged() if config.labelers else None
            # The last figures in the metrics are those of the report.
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_LOOK_S):
                    await watch.look(placement.labels.policy_loop, lambda: placement.actors)
            stop_reason = ending.reason if ending.has_stopped else None
            folder.update_state(labels_acknowledged=acknowledged, stop_reason=stop_reason)
            watch.show("saving the policy")
            await placement.learner.save(str((folder.policies / "final").resolve()))
            folder.update_state(final_policy_version=checkpoints.versions()[-1])
            if config.judges or JUDGED in journal.latest:
                watch.show("scoring what was judged")
                try:
                    await score_candidates(folder, config, placement.parts.reward_service)
                except ScoringFailed as error:  # the report does without
                    _tell(console, [f"what judges were shown was not scored: {error}"])
        # What the report will say goes to wandb too, while its run is still open.
        journal.summarize(summarize(read_run(folder.path)))
        watch.show("stopping")


def _inspector(
    folder: RunFolder,
    controller: Controller,
    placement: Placement,
    journal: Journal,
    watch: Watch,
) -> Inspector:
    """Return what keeps `inspect.json`, told whom to ask."""
    inspector = Inspector(
        folder.inspection,
        loop_state=journal.loop_state,
        rollouts=controller.rollout_states,
        latest=lambda: journal.latest,
        trouble=lambda: watch.trouble,
    )
    for index in range(len(placement.actors)):
        inspector.listen_to(f"rollout-{index}", "actor", partial(_stats_of, placement, index))
    replicas = partial(placement.announcer.ask, AnnouncerShell.standing)
    inspector.listen_to("reward service", "rewards", replicas)
    inspector.listen_to("label queue", "labels", placement.labels.policy_loop.stats)
    return inspector


async def _stats_of(placement: Placement, index: int) -> dict[str, Any]:
    """Ask the actor that has this place now, which may not be the one that had it before."""
    return asdict(await placement.actors[index].stats())


def _restarted(journal: Journal, console: Console, part: str, cause: PartFailed) -> None:
    """Say of a part that died that it is started again."""
    journal.restarted(part, cause)
    _tell(console, [inert(f"{part} is started again: {cause}")])


def _tell(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _ends(controller: Controller, config: RunConfig, policy_path: Path) -> list[str]:
    """Return what to say of how ρ ends its responses; loads the tokenizer."""
    tokenizer = PolicyTokenizer(load_tokenizer(policy_path))
    return ends_in_words(controller.drafter.first_reference_draws, config.response, tokenizer)


async def _admit(config: RunConfig, folder: RunFolder, owner: OwnerSide) -> dict[str, str]:
    """Let owner and labelers in; return the paths of the people's one-time links, by name.

    Their tokens go into files of their own, which only the user who runs this may read. Whoever has
    one already, since the run was resumed, keeps it, and with it their sessions.
    """
    if not folder.has_token(OWNER):
        admitted = await owner.admit(OWNER, "owner")
        folder.write_token(OWNER, admitted.token)
    for labeler in config.labelers:
        if not folder.has_token(labeler.name):
            judges = labeler.name in config.judges
            token = await owner.add_labeler(labeler.name, judges=judges)
            folder.write_token(labeler.name, token)
    links = {}
    for name in config.people:
        if folder.has_token(name):
            continue
        admission = await owner.admit(name, "labeler", judges=name in config.judges)
        folder.write_token(name, admission.token)
        links[name] = admission.link
    return links


def _as_owner(url: str, folder: RunFolder) -> httpx.AsyncClient:
    """Return a client of the run's own HTTP face."""
    headers = {"Authorization": f"Bearer {folder.read_token(OWNER)}"}
    return open_client(httpx.AsyncClient, url, headers=headers, timeout=ANSWER_TIMEOUT_S)


def _spawn_hub(config: RunConfig, folder: RunFolder, *, must_start: bool) -> Remote[MetricsShell]:
    """Start the metrics hub's process, with this one's settings of wandb.

    On a cluster it would have those of the node, which know neither account nor sweep.
    """
    options = {**HUB_OPTIONS, **on_this_node()}
    wandb = {name: value for name, value in os.environ.items() if name.startswith("WANDB_")}
    if wandb and cluster_address(config.cluster.address) is not None:
        options["runtime_env"] = {"env_vars": wandb}
    return spawn(MetricsShell, "the metrics hub", options)(
        config.metrics,
        str(folder.path.resolve()),
        folder.run_id,
        config.model_dump(mode="json"),
        folder.began_at,
        must_start,
    )


async def _open_hub(hub: Remote[MetricsShell]) -> None:
    """Open the hub's sinks, which it does itself when the first row comes before."""
    async with started_within(hub.who, "open its files and wandb"):
        await hub.ask(MetricsShell.open)


@contextmanager
def _open_journal(config: RunConfig, folder: RunFolder, sink: RemoteSink) -> Iterator[Journal]:
    """Open the recordings; close them at the end."""
    with closing(Recordings(folder.recordings)) as recordings:
        gold = None if config.gold is None else gold_of(config.gold)
        yield Journal(recordings, sink, gold, steady=SteadyClock(), began_at=folder.began_at)


@contextmanager
def _open_recorder(config: RunConfig, folder: RunFolder) -> Iterator[Recorder | None]:
    """Record what crosses a process, if the config asks for it."""
    if not config.recording.record:
        yield None
        return
    with closing(Recorder(folder.recordings / FOLDER, config.recording, time.time)) as recorder:
        yield recorder
