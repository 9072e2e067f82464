"""Rollout workers: vLLM engines that turn prompts into rollouts and take new weights in flight."""
