"""Andon and TRL's PPO at the same work, in turns."""
