"""What a failed handshake means: a clock that is wrong, a certificate that is, or a broker that does not want us."""

from __future__ import annotations

import ssl
from datetime import datetime, timezone

import pytest

from edgeagent.fleet.attempts import Ending
from edgeagent.fleet.link_types import EndKind
from edgeagent.fleet.tls import BUILT_MS, is_alert, tls_ending

NOW_MS = int(datetime(2026, 11, 1, tzinfo=timezone.utc).timestamp() * 1000)
AFTER_BOOT_MS = 3600_000  # 1970


def unverified(code: int, message: str, wall_ms: int) -> Ending:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return tls_ending(error, wall_ms)


@pytest.mark.parametrize(
    ("code", "wall_ms", "kind"),
    [
        (9, AFTER_BOOT_MS, "clock"),
        (9, NOW_MS, "clock"),  # a clock that is some days late looks sane
        (10, AFTER_BOOT_MS, "clock"),
        (10, BUILT_MS, "untrusted"),
        (10, NOW_MS, "untrusted"),
        (18, NOW_MS, "untrusted"),
        (20, AFTER_BOOT_MS, "untrusted"),
        (62, NOW_MS, "untrusted"),
        (64, NOW_MS, "untrusted"),
    ],
)
def test_what_a_certificate_that_is_not_accepted_means(code: int, wall_ms: int, kind: EndKind) -> None:
    assert unverified(code, "why", wall_ms).kind == kind


def test_a_wrong_clock_is_told_with_what_it_shows() -> None:
    assert "1970-01-01 01:00 UTC" in unverified(9, "certificate is not yet valid", AFTER_BOOT_MS).reason


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "refused"),
        ("TLSV1_ALERT_UNKNOWN_CA", "refused"),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "refused"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "refused"),
        ("TLSV1_ALERT_INTERNAL_ERROR", "unreachable"),
        ("WRONG_VERSION_NUMBER", "unreachable"),
        ("UNEXPECTED_EOF_WHILE_READING", "unreachable"),
    ],
)
def test_what_the_other_side_says(reason: str, kind: EndKind) -> None:
    error = ssl.SSLError(1, f"[SSL: {reason}] {reason.lower().replace('_', ' ')} (_ssl.c:1007)")
    assert tls_ending(error, NOW_MS).kind == kind


def test_an_end_of_the_connection_is_no_refusal() -> None:
    assert not is_alert("[SSL: CLOSE_NOTIFY] alert close notify")
