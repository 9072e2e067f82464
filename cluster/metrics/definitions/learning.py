"""Metrics of the policy loop, drawn against the policy's version, and of the reward model."""

from __future__ import annotations

from cluster.metrics.definitions.section import POLICY_STEP, REWARD_VERSION, section

EACH_STEP = "each step"
BATCH = "The batch is the responses that the step trains on, incomplete ones included."

POLICY = section(
    "policy",
    POLICY_STEP,
    EACH_STEP,
    "Losses, shares and norms are means over the optimizer steps of one PPO step (epochs × "
    "minibatches), each over the response tokens of its minibatch, those after the cut included. "
    "π_prox is the policy the step starts from, π_θ the one it makes, r their ratio π_θ/π_prox.",
    {
        "loss": ("1", "Mean of w·max(−A·r, −A·clip(r, 1 ± ε)), PPO's clipped policy loss."),
        "value_loss": (
            "1",
            "Mean of ½·max((V − R)², (clip(V) − R)²), before its coefficient.",
        ),
        "entropy": (
            "nats",
            "Mean over the batch's response tokens of the entropy of π_prox's next-token "
            "distribution, at the sampling temperature.",
        ),
        "approx_kl": (
            "nats",
            "Mean a token of ½·(log π_θ − log π_prox)², which estimates KL(π_prox‖π_θ) over the "
            "update; of π_prox whatever the ratio is clipped around.",
        ),
        "step_kl": (
            "nats",
            "Mean a response of Σ_t ½·(log π_θ − log π_prox)² over all its tokens, over the step's "
            "last epoch alone: it estimates KL(π_prox‖π_θ) of a response, how far the step moved "
            "the policy. A little low, as each minibatch is measured before its own optimizer "
            "step; 0 where that is the only one.",
        ),
        "clip_fraction": ("1", "Tokens whose loss the clip bound, of all."),
        "grad_norm": ("1", "Mean over the optimizer steps of the gradient norm before clipping."),
        "lr": ("1", "Learning rate of the step."),
        "ptx_loss": (
            "nats",
            "Mean next-token loss of the minibatches' blocks of pretraining text, before its "
            "coefficient γ: a mean over the tokens of a block, or those that count "
            "(`pretraining.loss_after`), and over blocks.",
            "each step, with `ppo.ptx.coefficient` above 0",
        ),
        "pretraining_loss": (
            "nats",
            "Mean next-token loss, in the same way, of the version that the step made, over the "
            "held-out blocks of pretraining text.",
            "each step, with `[pretraining]`",
        ),
        "alignment_tax": (
            "nats",
            "`policy/pretraining_loss` minus that of ρ on these blocks: what the policy lost on "
            "such text by being trained for a reward.",
            "each step, with `[pretraining]`",
        ),
        "version": (
            "versions",
            "Policy version that the step published, or that a rollback made.",
            "each step and rollback",
        ),
        "episodes": (
            "episodes",
            "Responses trained on so far, those of versions since rolled back included.",
            "each step and rollback",
        ),
        "winrate_vs_reference": (
            "1",
            "Choices on validation queries that put a response of π first, of all such choices; "
            "ties, queries in which π was still ρ, and labels held or excluded are left out.",
            "each second, once there was such a choice",
        ),
        "winrate_recent": (
            "1",
            "The same of the newest 100 such choices on the policy as it is now: none on what a "
            "rollback left behind.",
            "each second, once there was such a choice",
        ),
        "winrate_judges": (
            "1",
            "Choices of judges that put a response of π first, of all of theirs on the newest 100 "
            "validation queries that both a judge and a labeler who trains has answered by such a "
            "choice: none on what a rollback left behind.",
            "each second, once there was such a query",
        ),
        "winrate_gap": (
            "1",
            "The share of labelers who train that put π first on these same queries, minus "
            "`policy/winrate_judges`: what the policy pleases those it was trained on more than "
            "others.",
            "each second, once there was such a query",
        ),
    },
)

KL = section(
    "kl",
    POLICY_STEP,
    EACH_STEP,
    "KL(π‖ρ) of a response is Σ_t (log π − log ρ) over all its tokens. π is the policy that "
    "sampled. Of a response of the learner's own version its log-probabilities are the learner's, "
    "and each token is weighed by the ratio to those recorded while sampling, capped as in the "
    "loss; of an older one they are those recorded. The same policy's KL is paid in the rewards, "
    "measured here and controlled.",
    {
        "reference_mean": ("nats", "Mean of it over the batch; what the controller steers."),
        "reference_max": ("nats", "Largest of the batch."),
        "reference_std": (
            "nats",
            "Population standard deviation of the same: how sure the mean is, which a guard on its "
            "sign must know.",
        ),
        "coefficient": ("1/nat", "β that this step's batch pays, before its KL moves the next's."),
        "target": (
            "nats",
            "What the controller steers the mean to.",
            "each step, while β is adaptive",
        ),
    },
)

_NODES = {
    0: "the passages",
    1: "the nodes just above passages",
    2: "the nodes of height 2",
    3: "the nodes of height 3 or more",
}
"""Heights that metrics tell apart, in words."""

REWARD = section(
    "reward",
    POLICY_STEP,
    EACH_STEP,
    f"{BATCH} A response without its cut or end has the fixed score of the config, and was not "
    "judged by the reward model.",
    {
        "score_mean": ("1", "Mean score of the batch, fixed scores included."),
        "score_std": ("1", "Population standard deviation of the same."),
        "score_p05": ("1", "5th percentile of the same, interpolated linearly."),
        "score_p95": ("1", "95th percentile of the same."),
        "kl_penalty": (
            "1",
            "β·`kl/reference_mean`: what the penalty costs the batch, mean a response.",
        ),
        "ensemble_std": (
            "1",
            "Population standard deviation across the ensemble's heads, mean over the complete "
            "responses.",
            "each step with a complete response, of an ensemble",
        ),
        "length_correlation": (
            "1",
            "Pearson's correlation of score and kept length over the complete responses.",
            "each step in which both vary",
        ),
        "mark_pay": (
            "1",
            "`ppo.mark_coefficient` × the sum of a response's mark values: what marks add to the "
            "batch's rewards beside the scores, mean a response; a fixed score goes without.",
            "each step of a run whose `ppo.mark_coefficient` is above 0",
        ),
        "version": ("versions", "Reward version of all the batch's scores."),
        "gold_mean": (
            "1",
            "Mean hidden score of the batch; nothing learns from it.",
            "each step, in tasks that have one",
        ),
        **{
            f"score_mean_height_{height}": (
                "1",
                f"`reward/score_mean` over {which} of long texts alone.",
                "each step that has such, of long texts",
            )
            for height, which in _NODES.items()
        },
        **{
            f"gold_mean_height_{height}": (
                "1",
                f"`reward/gold_mean` over {which} of long texts alone.",
                "each step that has such, of long texts, in tasks that have one",
            )
            for height, which in _NODES.items()
        },
    },
)

ROLLOUT = section(
    "rollout",
    POLICY_STEP,
    EACH_STEP,
    BATCH,
    {
        "length_mean": ("tokens", "Mean kept length of the batch's responses."),
        "truncated_rate": ("1", "Responses without their cut or end token, of the batch."),
        "tokens_per_s": (
            "tokens/s",
            "Response tokens, of episodes and candidates, that all actors together finished in a "
            "second since the first step began, idle time included, though not that in which a "
            "resumed run starts.",
            "each step, once the actors were looked at since the first began",
        ),
        "queue_depth": ("rollouts", "Scored rollouts that waited behind the batch as it began."),
        "logprob_mismatch_mean": (
            "nats",
            "Mean |log π_behaviour − log π_prox| over the tokens of the batch's responses of lag "
            "0, which were sampled from their first token on under the very version that the "
            "step starts from: sampler against trainer. After a load in flight a response goes "
            "on with keys and values of the version before, so those are left out.",
            "each step that has such responses",
        ),
        "logprob_mismatch_max": (
            "nats",
            "Largest of the same.",
            "each step that has such responses",
        ),
        "rounding_mean": (
            "nats",
            "Mean of how far rounding to the actors' type, or the learner's own, moves the "
            "trainer's log-probabilities of the probe, divided by the batch's temperature: what "
            "a sound sampler may differ by.",
            "each step, where actors or learner are not in float32",
        ),
        "probe_mismatch_max": (
            "nats",
            "Largest |sampler − trainer| log-probability of the probe's tokens, over all actors, "
            "as they took the version: a fixed sequence, so that there is one at any lag.",
            "each version the actors took",
        ),
    },
)

STALENESS = section(
    "staleness",
    POLICY_STEP,
    EACH_STEP,
    "A rollout's lag is the version the step starts from minus that of its oldest token. w is "
    "π_prox/π_behaviour of a token, measured also where the objective does not use it.",
    {
        "policy_lag_mean": ("versions", "Mean lag of the batch's rollouts."),
        "policy_lag_max": ("versions", "Largest lag of the batch."),
        "reward_lag": (
            "versions",
            "Newest reward version served minus the batch's, as the step began.",
        ),
        "importance_weight_mean": ("1", "Mean over the batch's tokens of min(w, cap)."),
        "importance_weight_capped": ("1", "Tokens whose w was above the cap, of the batch's."),
        "dropped": (
            "rollouts",
            "Rollouts dropped so far: too old, of versions rolled back, or without a score; "
            "candidates whose scores were wanted and did not come are among the last.",
        ),
    },
)

REWARD_MODEL = section(
    "reward_model",
    REWARD_VERSION,
    "each version",
    "Of the fit that made the version. A comparison is one label with a preference; it is decided "
    "unless it is a tie, and hit if the candidate of the highest score is the labeler's best.",
    {
        "loss": (
            "nats",
            "Mean over comparisons, heads and epochs of a comparison's loss just before the step "
            "that learned it; the bootstrap's counts do not weigh it.",
        ),
        "train_accuracy": (
            "1",
            "Hits of the decided comparisons, mean of the heads' scores, each just before the step "
            "that learned it.",
            "each version with a decided comparison",
        ),
        "mark_loss": (
            "1",
            "Mean over comparisons with marks, and epochs, of the weighted mean of (mark value − "
            "sign)² over the tokens of their marked responses, times the labeler's reliability, "
            "each just before the step that learned it.",
            "each version that learned marks",
        ),
        "mark_accuracy": (
            "1",
            "Marked tokens whose mark value has the sign of the mark, good above 0 and bad below, "
            "of all, just before the step that learned them.",
            "each version that learned marks",
        ),
        "validation_accuracy": (
            "1",
            "Hits of the decided comparisons on validation queries that no version had learned, "
            "judged by the version before, as the fit began.",
            "each version after the first with such a comparison",
        ),
        "validation_accuracy_current_policy": (
            "1",
            "The same over comparisons of any purpose all of whose candidates come from π, trained "
            "at least once, and none from ρ.",
            "each version after the first with such a comparison",
        ),
        "validation_labels": (
            "labels",
            "How many comparisons `validation_accuracy` is the mean of; few, as a rule, so pool "
            "several versions before you read it.",
            "each version after the first with such a comparison",
        ),
        "validation_labels_current_policy": (
            "labels",
            "How many `validation_accuracy_current_policy` is the mean of.",
            "each version after the first with such a comparison",
        ),
        "ece": (
            "1",
            "Expected calibration error, 10 bins, over all decided comparisons that no version had "
            "learned: the version before's probability of its top candidate against its hits.",
            "each version after the first with such a comparison",
        ),
        "labels_used": ("labels", "Distinct labels that the version has learned from."),
        "ledger_seq": ("events", "The ledger up to where it learned."),
        "fit_seconds": ("s", "Duration of the fit in the trainer, the swap not included."),
        "correlation_with_previous": (
            "1",
            "Pearson's correlation of its scores with its predecessor's on the samples of ρ that "
            "normalise them.",
            "each version after the first",
        ),
        "correlation_on_recent": (
            "1",
            "Pearson's correlation of its scores with its predecessor's on up to 256 recent "
            "complete responses of the policy, both by the reward service.",
            "each version not refitted because of an exclusion, once there are enough responses",
        ),
        "anchor_accuracy": (
            "1",
            "Anchor pairs, of known order, whose better response it scores higher, of all; equal "
            "scores count half.",
            "each version, once there are enough pairs",
        ),
        "anchor_pairs": ("pairs", "How many pairs that is of.", "with `anchor_accuracy`"),
        "correlation_after_exclusion": (
            "1",
            "Pearson's correlation of its scores with its predecessor's on recent complete "
            "responses of the policy: what the guard judges.",
            "each version refitted because of an exclusion, where there were enough responses",
        ),
    },
)

SECTIONS = (POLICY, KL, REWARD, REWARD_MODEL, ROLLOUT, STALENESS)
