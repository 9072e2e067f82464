"""Published experiments, each a folder: a config, a command, a figure and a page of prose."""
