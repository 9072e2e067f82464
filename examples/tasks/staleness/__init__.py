"""What stale responses and a sampler of other arithmetic cost, and what mends it (AReaL 2025)."""
