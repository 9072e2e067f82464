"""The labelers' side: who may label, tasks out, answers in."""
