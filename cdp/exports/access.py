"""Who may take people out as files. Asked when an export is asked for, again when it is made, and again when its file is fetched."""

from collections.abc import Mapping, Sequence

from django.contrib.auth.models import User
from django.db.models import QuerySet

from cdp.activation.models import Audience
from cdp.activation.reading import visible_audiences
from cdp.errors import Forbidden
from cdp.exports.fields import chosen
from cdp.exports.models import Export, Schedule, Wanted
from cdp.jobs.models import Job
from cdp.rest.models import Scope, key_of
from segments.sharing import with_permission


def exportable_audiences(user: User) -> QuerySet[Audience]:
    """The audiences whose members this user may take out as a file; a key only for the purposes that it was given."""
    segments = with_permission(user, "export_members").order_by().values("pk")
    found = visible_audiences(user).filter(segment__in=segments)
    key = key_of(user)
    if key is not None and not key.all_purposes:
        found = found.filter(purpose__key__in=key.purposes)
    return found


def may_reveal(user: User) -> bool:
    """Whether this user, or the key whose account this is, may have personal data unmasked."""
    key = key_of(user)
    if key is not None:
        return Scope.PROFILES_REVEAL in key.scopes
    return user.has_perm("profiles.reveal_pii")


def may_ask(user: User) -> bool:
    """Whether this user may ask for files at all, now."""
    key = key_of(user)
    if key is not None:
        return key.is_usable and Scope.EXPORTS_WRITE in key.scopes
    return user.is_active and user.has_perm("exports.add_export")


def refuse_who_may_not(user: User | None, wanted: Wanted) -> None:
    """
    Raises:
        Forbidden: whoever it belongs to may not take these people out, or not with these fields, or not any more.
        DomainErrors: a field isn't there any more.
    """
    refused = Forbidden("no_access", "Whoever asked for this export may not take these people out any more.")
    if user is None or not may_ask(user) or not exportable_audiences(user).filter(pk=wanted.audience_id).exists():
        raise refused
    chosen(wanted.fields, may_reveal=may_reveal(user))


def visible_exports(user: User) -> QuerySet[Export]:
    """Those of audiences that this user may see. Seeing that there was a file is not having it."""
    audiences = visible_audiences(user).order_by().values("pk")
    return Export.objects.filter(audience__in=audiences).select_related(
        "audience__segment", "audience__purpose", "job", "destination", "schedule", "user"
    )


def visible_schedules(user: User) -> QuerySet[Schedule]:
    audiences = visible_audiences(user).order_by().values("pk")
    return Schedule.objects.filter(audience__in=audiences).select_related(
        "audience__segment", "audience__purpose", "destination", "owner"
    )


def may_have(user: User, export: Export) -> bool:
    """Whether this user may fetch the file: take these people out, and see what of them is in it."""
    if not exportable_audiences(user).filter(pk=export.audience_id).exists():
        return False
    return may_reveal(user) or not export.has_personal


def names_of_exports(user: User, jobs: Sequence[Job]) -> Mapping[int, str]:
    """What jobs of exports are about, by job, as far as this user may see it."""
    found = visible_exports(user).filter(job__in=[job.pk for job in jobs])
    return {one.job_id: one.audience.name for one in found if one.job_id is not None}
