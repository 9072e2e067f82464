"""One run on Ray: the session around it, its parts, the controller among them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from rich.console import Console

from cluster.config import RunConfig
from cluster.controller import Controller
from cluster.loops.journal import Journal
from cluster.loops.recordings import Recordings
from cluster.metrics.remote import RemoteSink
from cluster.metrics.shell import MetricsShell
from cluster.report.records import read_run
from cluster.report.summary import summarize
from cluster.run_folder import OWNER, RunFolder
from cluster.starting.base_model import starting_policy
from cluster.starting.labelers import SimulatedLabelers
from cluster.starting.placement import Placement, num_cpus_wanted
from cluster.starting.prompts import RunTexts, read_texts
from cluster.starting.remote import RemoteLabelQueue
from cluster.starting.session import RaySession
from cluster.watching.display import RunDisplay
from cluster.watching.memory import PeakMemory
from cluster.watching.watch import Watch
from label_queue.simulated.gold import response_gold
from protocol.remote import Remote, spawn


async def conduct(
    config: RunConfig, folder: RunFolder, cache: Path, console: Console, texts: RunTexts | None
) -> None:
    """Run until the last episode is trained or the run is stopped.

    Args:
        config: The resolved config.
        folder: The run's, just made.
        cache: Where a base model is kept.
        console: Where progress is shown.
        texts: Prompts and the like, if they were read already.

    Raises:
        UserError: What was given cannot be run.
        IntegrityError: Something that must hold did not.
    """
    began_at = time.monotonic()
    with ExitStack() as stack:
        memory = stack.enter_context(PeakMemory())
        stack.callback(lambda: folder.update_state(peak_memory_bytes=memory.peak_bytes))
        display = stack.enter_context(RunDisplay(console, str(folder.path)))
        session = stack.enter_context(
            RaySession(config.cluster, folder.path.name, num_cpus_wanted(config))
        )
        hub = await _start_hub(config, folder)
        journal = stack.enter_context(_open_journal(config, folder, hub))
        watch = Watch(config, folder, journal, display, memory, began_at)

        watch.show("preparing the base model")
        policy_path, base_model_s = await starting_policy(config, cache)
        folder.update_state(base_model_s=base_model_s, url=session.url)
        watch.show("starting actors, learner, reward service and label queue")
        if texts is None:
            texts = await asyncio.to_thread(read_texts, config, policy_path)
        async with Placement(config, folder, session, policy_path, texts) as placement:
            controller = Controller(config, placement.parts, journal, placement.policy)
            watch.show("sampling the base model")
            await placement.start_reward_trainer(await controller.draw_reference())
            links = await _admit(config, folder, placement.labels)
            folder.update_state(state="running")
            for name, link in links.items():
                words = f"{name} labels at {session.url}{link} (the link works once)"
                console.print(words, markup=False, highlight=False, soft_wrap=True)
            with SimulatedLabelers(config.labelers, session.url, folder) as labelers:
                note = f"label at {session.url}/ · andon label {folder.path}"
                async with asyncio.TaskGroup() as group:
                    watching = group.create_task(
                        watch.watch(controller, placement.labels, placement.actors, note)
                    )
                    minding = group.create_task(labelers.watch())
                    await controller.run()
                    watching.cancel()
                    await labelers.stop()
                    minding.cancel()
                acknowledged = labelers.num_acknowledged() if config.labelers else None
            folder.update_state(labels_acknowledged=acknowledged, stop_reason=watch.stop_reason)
            watch.show("saving the policy")
            await placement.learner.save(str((folder.policies / "final").resolve()))
        # What the report will say goes to wandb too, while its run is still open.
        journal.summarize(summarize(read_run(folder.path)))
        watch.show("stopping")


async def _admit(config: RunConfig, folder: RunFolder, labels: RemoteLabelQueue) -> dict[str, str]:
    """Let owner and labelers in; return the paths of the people's one-time links, by name.

    Their tokens go into files of their own, which only the user who runs this may read.
    """
    owner = await labels.admit(OWNER, "owner")
    folder.write_token(OWNER, owner.token)
    for labeler in config.labelers:
        folder.write_token(labeler.name, await labels.add_labeler(labeler.name))
    links = {}
    for name in config.people:
        admission = await labels.admit(name, "labeler")
        folder.write_token(name, admission.token)
        links[name] = admission.link
    return links


async def _start_hub(config: RunConfig, folder: RunFolder) -> Remote[MetricsShell]:
    """Start the metrics hub and open its sinks."""
    hub = spawn(MetricsShell, "the metrics hub", {"num_cpus": 0})(
        config.metrics,
        str(folder.path.resolve()),
        folder.path.name,
        config.model_dump(mode="json"),
        time.time(),
    )
    await hub.ask(MetricsShell.open)
    return hub


@contextmanager
def _open_journal(
    config: RunConfig, folder: RunFolder, hub: Remote[MetricsShell]
) -> Iterator[Journal]:
    """Open the recordings; close them and the hub at the end."""
    with closing(RemoteSink(hub)) as sink, closing(Recordings(folder.recordings)) as recordings:
        gold = response_gold if config.prompts.source == "reviews" else None
        yield Journal(recordings, sink, gold)
