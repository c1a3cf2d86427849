"""Secrets out of text that leaves the device: passwords in addresses, and what stands behind words for secrets. Pure.

It may hide too much, never what it knows for a secret.
"""

from __future__ import annotations

import re
from typing import Final

HIDDEN: Final = "***"
_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<login>[^\s/?#\"'<>]*@)")
_LOOSE_LOGIN = re.compile(r"(://)[^\s\"'<>]*:[^\s\"'<>]*@")
_WORD = (
    r"(?:pass(?:word|wd|phrase)?|pwd|pw|secret|token|credential|authorization|api[_-]?key|access[_-]?key|"
    r"private[_-]?key)"
)
_PAIR = re.compile(
    rf"(?i)(?P<key>[\"']?[A-Za-z0-9_.-]*{_WORD}[A-Za-z0-9_-]*[\"']?\s*[=:]\s*)"
    r"(?P<value>\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?|(?:(?:bearer|basic)\s+)?[^\s,;&\"']+)"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)


def redact(text: str) -> str:
    """The text without what looks like a secret."""
    text = _PEM.sub(HIDDEN, text)
    text = _LOOSE_LOGIN.sub(rf"\g<1>{HIDDEN}@", text)  # a password may hold what ends an address
    text = _ADDRESS.sub(rf"\g<scheme>{HIDDEN}@", text)
    text = _PAIR.sub(rf"\g<key>{HIDDEN}", text)
    return _BEARER.sub(rf"\g<1> {HIDDEN}", text)
