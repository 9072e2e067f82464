"""The commands of `andon`, grouped by what they are about. Each imports what it needs when run."""
