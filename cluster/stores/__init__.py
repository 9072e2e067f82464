"""How the run's folders reach processes on nodes that see none of its files.

    whereabouts.py   the one decision: how a process reaches the folders from where it is
      here                 they are on its own disk: protocol/folders.py
      away.py              by the keeper, in pieces through Ray's object store
      at_url.py            at a URL that fsspec knows
      here_and_at_url.py   on disk, and at the URL as well
      away_by_url.py       by the keeper, the bytes by the URL
    shell.py         the keeper: on the run's own node, it reads and writes for the others
    cache.py         what a node has copied, by content
    drafts.py        what a process drafts on another node
    contents.py      what a folder holds: sizes and digests
    patient_files.py fsspec's calls, tried again where they fail for a moment

Every one of them is a `protocol.ports.FolderStore`; why so is said in
`docs/adr/0016-nodes-that-share-nothing.md`.
"""
