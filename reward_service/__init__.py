"""The reward model: its versioned bundle on disk, its batching scorer, its Serve deployment."""
