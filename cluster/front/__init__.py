"""One address for the pages of several runs, at which each has a path of its own.

    people ──▶ proxy with TLS, or none ──▶ front ──▶ /run-a/…  the labelling face of run-a
                                            │ └────▶ /run-b/…  the labelling face of run-b
                                            └──▶ /  the list of runs

A process of its own, which no run needs and none started: what ends with one run is that run's path
alone. It keeps nothing, and reads in the runs' folders where their faces are now.
"""
