"""The config of where the parts of a run are, and of the addresses at which they are found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from cluster.colocation import Colocation
from cluster.listening import OWN_HOST, WithoutTls, check_listening, is_here
from cluster.stores.config import OBJECT_STORE, Cache, Store
from cluster.supervision.config import RestartsConfig
from label_queue.intake.public_address import (
    LOOPBACK_PROXIES,
    HttpHost,
    ProxyAddress,
    PublicUrl,
)
from label_queue.intake.wide_face import Certificate
from protocol.settings import Settings

Devices = Annotated[float, Field(ge=0, le=1_000)]
"""GPUs of one process: a part of one, or whole ones."""


class ClusterConfig(Settings):
    """Where the parts run, and the addresses of the two HTTP faces."""

    address: str | None = None
    """Address of a Ray cluster, HOST:PORT or "auto", of which this machine is a node; None: the one
    RAY_ADDRESS names, else a private session. See docs/cluster.md."""
    http_host: HttpHost = "127.0.0.1"
    """Address that the labelling face listens at; people elsewhere come by `public_url`. Beyond
    loopback, e.g. "0.0.0.0", it takes `public_url`, and a certificate or `without_tls`; the run's
    own programs then come by loopback, and the reward's face stays there. See
    docs/public_address.md."""
    http_port: int = Field(default=8000, ge=0, le=65535)
    """Port of the labelling pages and their API; 0 takes a free one."""
    reward_port: int = Field(default=0, ge=0, le=65535)
    """Port of the reward's HTTP face, for other programs that train on it; 0 takes a free one, and
    `andon status` says which."""
    public_url: PublicUrl | None = None
    """Address at which people find the pages, behind a proxy with TLS, with a path or without:
    "https://label.example.org/run-a"; see docs/public_address.md. For {run} in its path each run
    puts its own id, so that runs share an address (`andon front`). With it the reward's face asks
    for a token. None: the pages are found at loopback alone."""
    trusted_proxies: tuple[ProxyAddress, ...] = LOOPBACK_PROXIES
    """Addresses of proxies that are believed on how a request came; by default this machine's."""
    tls_certificate: str | None = None
    """PEM file of the certificate with which the labelling face speaks TLS beyond loopback."""
    tls_key: str | None = None
    """PEM file of that certificate's private key, without a passphrase."""
    without_tls: WithoutTls = "refused"
    """Why the labelling face may speak plain HTTP beyond loopback: tls_is_in_front, at a proxy of
    `trusted_proxies`, through which alone people come; or network_may_read_tokens, so that
    `public_url` may be http."""
    wait_for_nodes_s: float | None = Field(default=None, ge=0, le=31_536_000)
    """How long parts wait for nodes with room for them, e.g. for a cluster that scales by itself;
    None: an hour on a Ray cluster, and a minute on this machine alone, where none come."""
    object_store_gib: float = Field(default=0.25, ge=0.075, le=1_000_000)
    """Shared memory for a private session's object store. Ray takes no less than 75 MiB."""
    store: Store = OBJECT_STORE
    """How folders of models reach the other nodes of a Ray cluster: "object_store", through Ray's;
    "shared_disk", where every node sees the run's folder and the models at their paths; or a URL
    that fsspec knows, e.g. "s3://bucket/andon", where they are kept, too. See docs/cluster.md."""
    cache: Cache = None
    """Folder on each node, absolute, in which a folder for what it has copied is made; None: its
    folder for temporary files."""
    cache_gib: float = Field(default=64.0, ge=0, le=1_000_000)
    """How much of that may stay once nobody uses it."""
    cpus_per_part: float = Field(default=1.0, gt=0, le=10_000)
    """Logical CPUs each process is placed with."""
    gpus_per_actor: Devices = 0.0
    """GPUs of each rollout actor; with 0 its engine is on the CPU."""
    gpus_per_learner_rank: Devices = 0.0
    """GPUs of each rank of the learner, and of the reward trainer."""
    gpus_per_reward_replica: Devices = 0.0
    """GPUs of each reward replica; with 0 it scores on the CPU, whatever GPUs there are."""
    colocation: Colocation = "beside"
    """beside: each process has its devices, or its share of one, all the time. turns: learner and
    engines share one GPU, and have its memory by turns: engines sleep while the learner steps, and
    its weights and optimizer are on the host while they generate. See docs/cluster.md."""
    worker_logs: bool = False
    """Show what the worker processes print."""
    restarts: RestartsConfig = RestartsConfig()
    """What is done about parts that fall away."""
    stop_s: float = Field(default=15.0, ge=1, le=86_400)
    """Seconds a run that is stopped may take: two thirds for the step under way and for saving the
    policy. Then it is ended where it stands, and 4 s after all of it what still runs is killed:
    by default within 20 s, which is less than services are given as a rule."""

    @property
    def is_wide(self) -> bool:
        """Whether the labelling face listens beyond loopback."""
        return not is_here(self.http_host)

    @property
    def own_host(self) -> str:
        """Address of loopback at which the run's own programs find both faces."""
        return OWN_HOST if self.is_wide else self.http_host

    @property
    def certificate(self) -> Certificate | None:
        """What the labelling face speaks TLS with; None: it speaks plain HTTP."""
        if self.tls_certificate is None or self.tls_key is None:
            return None
        return Certificate(chain=Path(self.tls_certificate), key=Path(self.tls_key))

    @model_validator(mode="after")
    def _nobody_reads_what_is_not_theirs(self) -> Self:
        check_listening(
            http_host=self.http_host,
            public_url=self.public_url,
            trusted_proxies=self.trusted_proxies,
            tls_certificate=self.tls_certificate,
            tls_key=self.tls_key,
            without_tls=self.without_tls,
        )
        return self

    @model_validator(mode="after")
    def _faces_have_ports_of_their_own(self) -> Self:
        if self.http_port and self.http_port == self.reward_port:
            raise ValueError(f"http_port and reward_port are both {self.http_port}: change one")
        return self

    @model_validator(mode="after")
    def _gpus_are_whole_or_parts_of_one(self) -> Self:
        for name in ("gpus_per_actor", "gpus_per_learner_rank", "gpus_per_reward_replica"):
            gpus = getattr(self, name)
            if gpus > 1 and gpus % 1:
                raise ValueError(f"{name} {gpus:g}: above 1 it must be a whole number")
        return self
