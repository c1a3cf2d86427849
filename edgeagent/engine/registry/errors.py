"""What can go wrong with a registry: their data is bad, the transport failed, our set-up is wrong. Pure.

Every code stands in one of the tables below with its mend and whether the same call may succeed later; the codes are
stable and described in docs/registry.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from edgeagent.errors import EngineError, Fact, OperatorError, Who

# code -> (mend, may the same call succeed later unchanged)
DATA_CODES: dict[str, tuple[str, bool]] = {
    "registry_none": ("put it there with `edgeagent engine push`", True),
    "registry_unsigned": ("put it there with `edgeagent engine push`, which signs it", False),
    "registry_bad_signature": ("push it again, and find out who changed it", False),
    "registry_unknown_key": ("if you trust that key, add it to registry.trusted_keys", False),
    "registry_expired": ("push it again", False),
    "registry_wrong_key": ("push it again; an entry must not be copied under another name", False),
    "registry_oversized": ("raise registry.max_download_mb if it is meant to be so large", False),
    "registry_truncated": ("push it again", True),
    "registry_digest": ("push it again, and find out who changed it", False),
    "registry_not_manifest": ("check the URL: something else answers there", False),
}
TRANSPORT_CODES: dict[str, tuple[str, bool]] = {
    "registry_unreachable": ("check the network, the URL and the server", True),
    "registry_stalled": ("check the network and the server; registry.stall_s says how long silence may last", True),
    "registry_timeout": ("registry.timeout_s says how long one mirror may take; what came is kept", True),
    "registry_cut": ("check the network and the server; what came is kept", True),
    "registry_denied": ("give the service a netrc file with this host's login; see docs/registry.md", False),
    "registry_redirect": ("name the place it leads to in registry.urls, if that is right", False),
    "registry_encoded": ("let the server send files as they are, without compression", False),
    "registry_status": ("look into the server's log", False),
}
SETUP_CODES: dict[str, tuple[str, bool]] = {
    "registry_no_keys": ("add the public key of whoever pushes engines to registry.trusted_keys", False),
    "registry_bad_key": ("`edgeagent engine keygen` prints it: ed25519: and 44 characters of base64", False),
    "registry_signing_key": ("`edgeagent engine keygen FILE` makes one", False),
    "registry_url": ("for example https://engines.example.org/line, file:///srv/engines or s3://bucket/engines", False),
    "registry_extra": ("install.sh brings it; elsewhere: pip install 'edgeagent[s3]'", False),
    "registry_conflict": ("remove that entry from the registry first, or push with the key that signed it", False),
    "registry_clock": ("set the clock, or push from another machine", True),
    "registry_netrc": ("see docs/registry.md for what may stand there", False),
}


class RegistryError(EngineError):
    """Base of the three families. `reasons` has one error a mirror where several were tried."""

    code = "registry"
    table: ClassVar[Mapping[str, tuple[str, bool]]] = {}

    def __init__(self, code: str, message: str, *, mend: str | None = None, **facts: Fact) -> None:
        usual, retry = self.table[code]
        super().__init__(message, mend=usual if mend is None else mend, facts=facts, retry=retry, code=code)
        self.reasons: tuple[RegistryError, ...] = ()


class RegistryDataError(RegistryError):
    """What the registry gave is not what may be used: nothing of it was deserialised or stored."""

    code = "registry_data"
    who: ClassVar[Who] = "operator"
    table = DATA_CODES


class RegistryTransportError(RegistryError):
    """The registry did not give it: network, server, or a server that does not do what we accept."""

    code = "registry_transport"
    who: ClassVar[Who] = "network"
    table = TRANSPORT_CODES


class RegistrySetupError(RegistryError, OperatorError):
    """A key, a URL or a file of ours is wrong or missing: only the operator can help."""

    code = "registry_setup"
    who: ClassVar[Literal["operator"]] = "operator"
    table = SETUP_CODES


def joined(what: str, tried: Sequence[tuple[str, RegistryError]]) -> RegistryError:
    """One error for all mirrors (URL, its error), at least one. Bad data weighs more than a failed transport: it
    needs a person. `retry` when any mirror may have it later."""
    errors = [error for _, error in tried]
    chief = next((error for error in errors if isinstance(error, RegistryDataError)), errors[0])
    lines = "; ".join(f"{url}: {error.message}" for url, error in tried)
    whole = type(chief)(chief.error_code, f"no registry gave {what}: {lines}", mend=chief.mend, **chief.facts)
    whole.retry = any(error.retry for error in errors)
    whole.reasons = tuple(errors)
    return whole
