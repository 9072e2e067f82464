"""Who somebody is by an outside provider's word, and whom that can be here."""

from __future__ import annotations

from dataclasses import dataclass

from label_queue.sign_in_config import EMAIL, OidcConfig
from protocol.errors import Forbidden
from protocol.names import RESERVED_NAMES, is_labeler_id


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideIdentity:
    """Somebody whom a provider vouched for, its word checked."""

    name: str
    """Value of the claim that names people here, e.g. "ann@example.org"; verified, of an e-mail
    address."""
    issuer: str
    """The provider."""
    subject: str
    """What it calls them, and never anybody else."""

    @property
    def provenance(self) -> str:
        """What the ledger keeps of it: issuer and subject."""
        return f"{self.issuer} {self.subject}"


def may_have_identity(labeler_id: str, config: OidcConfig) -> bool:
    """Say whether a provider's word could ever be for somebody of this name.

    Not for who acts in the ledger by a name of the run's own, whatever a provider calls people.
    """
    is_address = config.claim != EMAIL or labeler_id.count("@") == 1
    return is_address and labeler_id.casefold() not in RESERVED_NAMES


def is_of_domains(name: str, config: OidcConfig) -> bool:
    """Say whether a name is an address at one of the domains whose people are let in."""
    return name.rpartition("@")[2].lower() in config.domains


def check_name(name: str, config: OidcConfig) -> str:
    """Return what somebody is called here; raise Forbidden where nobody can be called so."""
    named = name.lower() if config.claim == EMAIL else name
    if not is_labeler_id(named) or not may_have_identity(named, config):
        raise Forbidden(
            f"{name[:200]!r} cannot be anybody's name here: ask the run's owner for a link"
        )
    return named
