"""What a user may write into a rule of his own. Pure."""

from __future__ import annotations

from typing import Final

from procroute.errors import ProcrouteError
from procroute.model import Allowed
from procroute.rulebook.route_rule import Conditions, RouteRule

_CODE: Final = "not-permitted"


def check_owner(rule: RouteRule, uid: int, user: str, allowed: Allowed) -> None:
    """Whether a user may have such a rule; root may have any. user: the name of uid, empty: it has none.

    Which adapter its way leads to is for core.access.check_route, which knows adapters. That it matches none
    but his processes, and no units but those of his own manager, is held by matching. Raises ProcrouteError
    not-permitted.
    """
    if uid == 0:
        return
    hint = f"[access] of /etc/procroute/config.toml says so for {user or uid}"
    if via := rule.via:
        if not (allowed.gateway and allowed.gateway_in_rules) and (via.gateway4 or via.gateway6):
            by_root = (
                f"root may allow it for {user or uid}: gateway_in_rules of [access], docs/configuration.md"
            )
            raise ProcrouteError(
                _CODE, "a rule of yours may not give a gateway", by_root if allowed.gateway else hint
            )
        if not allowed.dns and via.dns is not None:
            raise ProcrouteError(_CODE, "a rule of yours may not give name servers", hint)
    _check_conditions(rule.conditions, uid, user)


def _check_conditions(conditions: Conditions, uid: int, user: str) -> None:
    for name in conditions.user:
        if name not in {user, str(uid)}:
            raise ProcrouteError(
                _CODE, f"a rule of yours cannot be for {name}", "it holds for your own processes alone"
            )
    own = f"/user.slice/user-{uid}.slice/"
    for cgroup in conditions.cgroup:
        if not f"{cgroup}/".startswith(own):
            raise ProcrouteError(
                _CODE, f"a rule of yours cannot be for the cgroup {cgroup}", f"yours lie below {own}"
            )
