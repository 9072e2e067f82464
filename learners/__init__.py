"""The three learners on DeepSpeed: PPO, reward-model fitting, supervised fine-tuning."""
