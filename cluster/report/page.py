"""The page: one HTML file that needs nothing else, neither a server nor a network.

Text from a model is escaped, and the page's policy lets nothing run or load: whatever a policy
writes stays text.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from cluster.report.summary import Summary
from label_queue.quality.assessment import Assessment

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.55 system-ui, sans-serif; color: #1f2933; background: #f6f7f9; margin: 0; }
main { max-width: 62rem; margin: 0 auto; padding: 2rem 1.2rem 4rem; }
h1 { font-size: 1.7rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem; }
.lead { color: #52606d; margin: .3rem 0 1.6rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); gap: .7rem; }
.tile { background: #fff; border: 1px solid #e4e8ec; border-radius: .5rem; padding: .7rem .9rem; }
.tile b { display: block; font-size: 1.35rem; font-weight: 600; } .tile span { color: #52606d;
  font-size: .86rem; }
figure { background: #fff; border: 1px solid #e4e8ec; border-radius: .5rem; margin: 0 0 1.1rem;
  padding: .9rem; } figure img { width: 100%; height: auto; display: block; }
figcaption { color: #52606d; font-size: .9rem; margin-top: .5rem; }
table { border-collapse: collapse; width: 100%; background: #fff; font-size: .92rem; }
th, td { border: 1px solid #e4e8ec; padding: .45rem .6rem; text-align: left; vertical-align: top; }
th { background: #eef1f4; font-weight: 600; } td.number { text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; } td .prompt { color: #7b8794;
  white-space: pre-line; }
td, dd { overflow-wrap: anywhere; } .unknown { color: #9aa5b1; }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture that was drawn, and what it shows."""

    path: Path
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A response, as shown in the page."""

    prompt: str
    text: str
    gold: float | None
    """None where the task has no hidden score."""


def render_page(
    summary: Summary,
    pictures: Sequence[Picture],
    before: Sequence[Sample],
    after: Sequence[Sample],
    labelers: Sequence[Assessment] = (),
) -> str:
    """Return the page as HTML.

    Args:
        summary: The run in figures.
        pictures: In the order they are shown.
        before: Responses of the base model.
        after: As many of the policy at the end.
        labelers: By name, with their quality.
    """
    title = escape(f"Andon: {summary['run_id'] or 'a run'}")
    lead = escape(f"{summary['mode']} run, seed {summary['seed']}, {summary['state'] or ''}")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body><main>
<h1>{title}</h1>
<p class="lead">{lead}</p>
<div class="tiles">{_tiles(summary)}</div>
<h2>The run in pictures</h2>
{"".join(_figure(picture) for picture in pictures)}
<h2>Labelers</h2>
{_labelers(labelers)}
<h2>Samples, before and after</h2>
<p>Drawn evenly from the base model's responses and from the last that were trained on; none
was chosen by hand. The prompt is grey.</p>
{_samples(before, after)}
<h2>All figures</h2>
{_figures_table(summary)}
</main></body>
</html>
"""


def _tiles(summary: Summary) -> str:
    shown = (
        ("episodes", "episodes trained", ",.0f"),
        ("labels_in_ledger", "labels in the ledger", ",.0f"),
        ("reward_versions", "reward versions served", ",.0f"),
        ("gold_base_mean", "gold score, base model", "+.2f"),
        ("gold_final_mean", "gold score, last tenth", "+.2f"),
        ("validation_winrate", "of validation labels prefer the policy", ".0%"),
        ("kl_final_mean", "nats from the base model", ".1f"),
        ("coverage_median", "median coverage", ".0%"),
        ("label_to_policy_latency_p50_s", "s from label to policy, median", ".0f"),
        ("wall_s", "s in all", ",.0f"),
    )
    return "".join(
        f'<div class="tile"><b>{_shown(summary[name], form)}</b><span>{escape(text)}</span></div>'
        for name, text, form in shown
    )


def _shown(value: object, form: str) -> str:
    if isinstance(value, int | float):
        return escape(format(value, form))
    return '<span class="unknown">not known</span>' if value is None else escape(str(value))


def _figure(picture: Picture) -> str:
    data = base64.b64encode(picture.path.read_bytes()).decode()
    caption = escape(picture.caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>\n"
    )


def _labelers(rows: Sequence[Assessment]) -> str:
    if not rows:
        return '<p class="unknown">Nobody has labelled yet.</p>'
    names = ("state", "labels", "held", "gold", "self", "peers", "weight", "flags")
    head = "".join(f"<th>{name}</th>" for name in ("labeler", *names))
    return (
        "<p>Gold is their estimated accuracy on tasks with a known answer, with its 95 % interval "
        "(as if eight of ten had been right before the first), self how often they answer a "
        "repeated task alike, peers how often others choose as they do; held labels are not "
        "learned from.</p>"
        f"<table><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(map(_labeler, rows))}</tbody></table>"
    )


def _labeler(row: Assessment) -> str:
    has_gold = row.gold_right + row.gold_wrong > 0
    gold = f"{row.gold_accuracy:.0%} ({row.gold_low:.0%}-{row.gold_high:.0%})" if has_gold else ""
    numbers = (
        *(str(row.labels), str(row.labels_held), gold),
        *("" if x is None else f"{x:.0%}" for x in (row.self_agreement, row.peer_agreement)),
        f"{row.weight_share:.0%}",
    )
    cells = "".join(f'<td class="number">{number}</td>' for number in numbers)
    flags = escape(", ".join(row.flags))
    return f"<tr><td>{escape(row.labeler_id)}</td><td>{row.state}</td>{cells}<td>{flags}</td></tr>"


def _samples(before: Sequence[Sample], after: Sequence[Sample]) -> str:
    if not before or not after:
        return '<p class="unknown">There is nothing to compare yet.</p>'
    rows = "".join(
        f"<tr>{_cell(base)}{_cell(final)}</tr>" for base, final in zip(before, after, strict=False)
    )
    head = "".join(f"<th>{name}</th><th>gold</th>" for name in ("base model", "policy"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _cell(sample: Sample) -> str:
    gold = "" if sample.gold is None else f"{sample.gold:+.2f}"
    text = f'<span class="prompt">{escape(sample.prompt)}</span> {escape(sample.text)}'
    return f'<td>{text}</td><td class="number">{gold}</td>'


def _figures_table(summary: Summary) -> str:
    unknown = summary["unknown"]
    assert isinstance(unknown, dict)
    rows = []
    for name, value in summary.items():
        if name == "unknown":
            continue
        if isinstance(value, dict):
            shown = escape(", ".join(f"{key} {item}" for key, item in sorted(value.items())))
        elif value is None:
            shown = f'<span class="unknown">{escape(unknown[name])}</span>'
        else:
            shown = _shown(value, "" if isinstance(value, int) else ".4g")
        rows.append(f"<tr><td>{escape(name)}</td><td>{shown}</td></tr>")
    return f"<table><tbody>{''.join(rows)}</tbody></table>"
