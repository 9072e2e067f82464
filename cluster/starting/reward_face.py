"""The process of the reward's HTTP face, and the token that it asks for."""

from __future__ import annotations

import secrets
from typing import Any

from cluster.config import RunConfig
from cluster.run_folder import RunFolder
from cluster.starting.keeping import on_this_node
from protocol.bearer import REWARD_TOKEN, token_sha256
from protocol.remote import Remote, spawn
from reward_service.face import FACE_OPTIONS, RewardFace


def spawn_reward_face(
    config: RunConfig, folder: RunFolder, port: int, replicas: Any, announcer_name: str
) -> Remote[RewardFace]:
    """Return the face, which begins to listen at this machine's loopback.

    Args:
        config: The run's.
        folder: The run's.
        port: Where it listens, the same after each restart.
        replicas: Serve's handle of them.
        announcer_name: Of the actor that says which version is served.
    """
    return spawn(RewardFace, "the reward's face", {**FACE_OPTIONS, **on_this_node()})(
        replicas,
        announcer_name,
        config.reward_service,
        host=config.cluster.own_host,
        port=port,
        token_digest=_token_digest(config, folder),
    )


def _token_digest(config: RunConfig, folder: RunFolder) -> str | None:
    """Return the digest of the token that the face asks for; None: it asks for none.

    A proxy may give loopback as the `Host` of what it passes on, by mistake: so from a public
    address on no request is known to be from this machine.
    """
    if config.cluster.public_url is None:
        return None
    if not folder.has_token(REWARD_TOKEN):
        folder.write_token(REWARD_TOKEN, secrets.token_urlsafe(32))
    return token_sha256(folder.read_token(REWARD_TOKEN))
