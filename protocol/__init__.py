"""The ground of Andon: what crosses a process, and nothing else.

Messages and the versions they carry (`messages`, `labels`), ports (`ports`), errors (`errors`).
Nothing here imports torch, Ray or vLLM, so any process, and any command line, can afford it.
"""
