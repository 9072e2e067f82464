"""The HTTP face of the label queue: what a labelling page, a tool or `curl` talks to."""
