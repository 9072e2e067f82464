"""The command line. Each command imports what it needs when it runs, so `--help` is quick."""

from __future__ import annotations

from typing import Any

import click

from cluster.commands.alone import fit_reward, train
from cluster.commands.dashboard import dashboard
from cluster.commands.example import example
from cluster.commands.front import front
from cluster.commands.gold import gold
from cluster.commands.labels import export, import_labels, trace
from cluster.commands.line import cord, rollback
from cluster.commands.looking import doctor, inspect
from cluster.commands.people import label, labelers
from cluster.commands.planning import plan
from cluster.commands.replay import replay
from cluster.commands.runs import demo, report, resume, run, status, stop
from cluster.outlived_streams import outlived_streams, show_every_character


class _Commands(click.Group):
    """The commands. Every terminal shows their words, as far as its encoding goes.

    What a command failed of is told by its exit code too, and so nothing fails where the one line
    of it cannot be written.
    """

    def main(self, *args: Any, **kwargs: Any) -> Any:
        show_every_character()
        with outlived_streams(["stderr"]):
            return super().main(*args, **kwargs)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="andon")
def main() -> None:
    """Andon: fully online RLHF that people can rely on.

    `andon demo` shows the whole system at work on this machine. `andon run CONFIG.toml` trains your
    own policy, here or on the Ray cluster that RAY_ADDRESS names. `andon label` opens the page
    where people label.
    """


for command in (
    *(demo, example, run, resume, status, inspect, stop, report, dashboard, replay),
    *(fit_reward, train),
    *(doctor, plan),
    *(label, labelers, gold, front),
    *(cord, rollback),
    *(trace, export, import_labels),
):
    main.add_command(command)


if __name__ == "__main__":
    main()
