"""Whether this machine will do: one module a kind of check, each of which says how to mend it."""
