"""The screen of what a segment may be used for: its size beside how many a purpose permits, and why the rest is left out."""

from typing import Any

from django.http import HttpRequest

from cdp.audit.admin_base import actor_of
from cdp.errors import DomainError
from consent.models import Channel, Purpose
from consent.querysets import purposes_for_lists
from segments.models import Segment
from segments.permission import Why, permission_of

# What it is called, and what can be done about it.
REASONS: dict[Why, tuple[str, str]] = {
    Why.NEVER_ASKED: ("Never asked", "No record means no. Ask them: in the shop's forms, the banner or the preference centre."),
    Why.DENIED: ("Said no", "Their answer counts until they change it themselves."),
    Why.WITHDRAWN: ("Took their yes back", "Their answer counts until they change it themselves."),
    Why.ENDED: ("Their yes has ended", "It held for the days that the purpose sets. The preference centre offers to renew it."),
    Why.UNCONFIRMED: ("Haven't confirmed", "They said yes and have not used the link that we sent, or a guardian has to agree."),
    Why.HALTED: ("Halted", "They restricted or objected to it; compliance staff lift it when the person says so."),
}  # fmt: skip


def page(request: HttpRequest, segment: Segment) -> dict[str, Any]:
    """For the template: the purposes, and how the chosen one turns out; why not, where it can't be counted."""
    purposes = list(purposes_for_lists())
    by_key = {one.key: one for one in purposes}
    purpose = by_key.get(request.GET.get("purpose", "")) or _first(purposes, segment)
    context: dict[str, Any] = {"purposes": purposes, "purpose": purpose}
    if purpose is None:
        return context
    try:
        found = permission_of(segment=segment, purpose=purpose, by=actor_of(request))
    except DomainError as error:
        return context | {"error": error}
    share = found.permitted / found.members if found.members else 0.0
    reasons = [
        (*REASONS[why], count, count / found.members)
        for why, count in sorted(found.left_out.items(), key=lambda one: -one[1])
    ]
    return context | {"found": found, "share": share, "reasons": reasons, "held_back": found.members - found.permitted}


def _first(purposes: list[Purpose], segment: Segment) -> Purpose | None:
    """What the segment is meant for; else mailing, where there is one: it is what most are asked about."""
    meant_for = set(segment.purposes.values_list("pk", flat=True))
    if chosen := next((one for one in purposes if one.pk in meant_for), None):
        return chosen
    by_mail = [one for one in purposes if one.channel == Channel.EMAIL]
    return next(iter([*by_mail, *purposes]), None)
