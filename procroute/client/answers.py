"""Whether a frame is the answer that was waited for."""

from __future__ import annotations

from procroute import protocol
from procroute.client import failures
from procroute.errors import ProcrouteError

REPLY_TO = {
    protocol.Run: protocol.Placed,
    protocol.Open: protocol.Opened,
    protocol.Assign: protocol.Assigned,
    protocol.Release: protocol.Released,
    protocol.Ps: protocol.Assignments,
    protocol.Rules: protocol.RuleList,
    protocol.TryRules: protocol.Tried,
    protocol.MatchRule: protocol.Matched,
    protocol.ApplyRules: protocol.Applied,
    protocol.AddRule: protocol.Edited,
    protocol.EditRule: protocol.Edited,
    protocol.Adapters: protocol.AdapterList,
    protocol.Inspect: protocol.Inspected,
    protocol.Explain: protocol.Explained,
    protocol.Reload: protocol.Reloaded,
    protocol.Watch: protocol.Watching,
}


def reply_in(text: bytes) -> protocol.Reply:
    """The reply of a frame. Raises ProcrouteError protocol, and protocol-version for another version."""
    try:
        reply = protocol.read_reply(text)
    except ProcrouteError:
        _, version = protocol.asked_id(text)
        if version != protocol.VERSION:
            raise failures.other_version(version, protocol.VERSION) from None
        raise
    if reply.v != protocol.VERSION and not isinstance(reply, protocol.Error):
        raise failures.other_version(reply.v, protocol.VERSION)
    return reply


def answer_to(request: protocol.Request, asked: int, reply: protocol.Reply) -> protocol.Reply:
    """The reply, if it is of the kind and has the id that were asked for.

    Raises what the daemon says as ProcrouteError; its errors about what it could not read have the id 0.
    """
    if isinstance(reply, protocol.Error) and reply.id in {0, asked}:
        raise ProcrouteError(reply.code, reply.message, reply.hint)
    if reply.id != asked or not isinstance(reply, REPLY_TO[type(request)]):
        raise ProcrouteError("protocol", "procrouted has answered another question than the one asked")
    return reply


def event_in(text: bytes) -> protocol.Event | None:
    """The event of a frame; None where it is none."""
    try:
        return protocol.read_event(text)
    except ProcrouteError:
        return None
