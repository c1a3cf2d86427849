"""Where else an answer may go: a topic that a command names must not be a way to command others. Pure."""

from __future__ import annotations

from edgeagent.fleet.topics import ROOT

MAX_BYTES = 512
REPLIES = "_reply"  # edgeagent/v1/<fleet>/_reply/...: no device's, since no id begins with an underscore


def reply_problem(topic: str) -> str:
    """Why no answer may be published there; empty where one may."""
    if not topic or len(topic.encode(errors="replace")) > MAX_BYTES:
        return f"a topic has 1 to {MAX_BYTES} bytes"
    if any(not ch.isprintable() for ch in topic):
        return "it holds a character that is none to be seen"
    if "+" in topic or "#" in topic:
        return "it holds a wildcard"
    if topic.startswith("$"):
        return "topics that begin with $ are the broker's"
    levels, root = topic.split("/"), ROOT.split("/")
    if levels[: len(root)] == root and levels[len(root) + 1 : len(root) + 2] != [REPLIES]:
        return f"under {ROOT}/ only <fleet>/{REPLIES}/... is for answers"
    return ""
