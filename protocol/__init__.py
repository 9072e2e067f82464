"""The ground of Andon: what crosses a process, and nothing else.

Messages (`messages`, `labels`), versions (`versions`), ports (`ports`) and errors (`errors`).
Nothing here imports torch, Ray or vLLM, so any process, and any command line, can afford it.
"""
