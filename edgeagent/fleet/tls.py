"""TLS to a broker: the context that verifies it, and what a failed handshake means.

The broker's name and chain are verified, always. A device whose clock is wrong after a boot cannot judge a
certificate's dates: it finds every certificate not yet valid. That is waited out, because a time server will set the
clock, as soon as there is a network; it is told apart from a certificate that is wrong.
"""

from __future__ import annotations

import ssl
from datetime import datetime, timezone
from typing import Final

from edgeagent.fleet.attempts import Ending
from edgeagent.fleet.credentials import CredentialError, credential_path, read_credential
from edgeagent.fleet.link_types import TlsSettings

BUILT_MS: Final = int(datetime(2026, 1, 1, tzinfo=timezone.utc).timestamp() * 1000)
"""This program is younger than that: a clock that shows an earlier time is wrong."""

_NOT_YET_VALID, _EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 9, 10, 62, 64  # X509_V_ERR_* of OpenSSL

_UNWANTED: Final = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "HANDSHAKE_FAILURE", "PROTOCOL_VERSION")


def tls_context(tls: TlsSettings) -> ssl.SSLContext:
    """Verifies the broker's name and chain. Raises CredentialError for files that cannot be used."""
    context = _trusting(tls.ca_file)
    if tls.cert_file is not None:
        _identify(context, tls.cert_file, tls.key_file)
    return context


def _trusting(ca_file: str | None) -> ssl.SSLContext:
    if ca_file is None:
        return ssl.create_default_context()
    read_credential("ca_file", ca_file)
    try:
        return ssl.create_default_context(cafile=str(credential_path(ca_file)))
    except OSError as error:
        raise CredentialError(
            f"ca_file: {credential_path(ca_file)} holds no certificate that can be read", mend="it has to be PEM"
        ) from error


def _identify(context: ssl.SSLContext, cert_file: str, key_file: str | None) -> None:
    read_credential("cert_file", cert_file)
    if key_file is not None:
        read_credential("key_file", key_file)
    key = None if key_file is None else str(credential_path(key_file))
    try:
        # a key with a passphrase would be asked for on the terminal: an empty one makes it an error
        context.load_cert_chain(str(credential_path(cert_file)), key, password=lambda: "")
    except (OSError, ValueError) as error:
        what = "key_file does not belong to cert_file" if "MISMATCH" in str(error) else "cannot be used"
        raise CredentialError(
            f"cert_file: {credential_path(cert_file)} with its key: {what}",
            mend="both have to be PEM, the key without a passphrase",
        ) from error


def tls_ending(error: ssl.SSLError, wall_ms: int) -> Ending:
    """What a handshake that failed calls for. `wall_ms` is what our clock shows."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _untrusted(error.verify_code, error.verify_message, wall_ms)
    reason = (getattr(error, "reason", None) or str(error)).replace("_", " ").lower()
    if is_alert(str(error)):
        return Ending("refused", f"the broker ended TLS: {reason}")
    if "wrong version number" in reason:
        return Ending("unreachable", "what answers there does not speak TLS")
    return Ending("unreachable", f"no TLS connection: {reason}")


def is_alert(text: str) -> bool:
    """Whether an error's text says that the other side does not want us: our certificate, or how we speak TLS."""
    loud = text.upper().replace(" ", "_")
    return "ALERT" in loud and any(word in loud for word in _UNWANTED)


def _untrusted(code: int, message: str, wall_ms: int) -> Ending:
    early = wall_ms < BUILT_MS
    if code == _NOT_YET_VALID or (code == _EXPIRED and early):
        now = datetime.fromtimestamp(wall_ms / 1000, timezone.utc)
        return Ending(
            "clock",
            f"this device's clock shows {now:%Y-%m-%d %H:%M} UTC, when the broker's certificate is not valid"
            f"{' yet' if code == _NOT_YET_VALID else ''}: waiting for the time to be set",
        )
    if code == _EXPIRED:
        return Ending("untrusted", "the broker's certificate has expired")
    if code in (_OTHER_NAME, _OTHER_ADDRESS):
        return Ending("untrusted", f"the broker's certificate is for another host: {message.lower().rstrip('.')}")
    return Ending("untrusted", f"certificate verify failed: {message}")
