"""Privacy requests as tests make them: entered, with identity shown, carried out as a worker does it."""

from typing import Any

from cdp.jobs.models import Job
from cdp.privacy import services
from cdp.privacy.models import CameBy, IdentityMethod, PrivacyRequest, RequestKind, RequestState
from cdp.privacy.tasks import carry_out
from tests.factories import BY, person

ANN = "ann-4711"


def asked(kind: RequestKind, **more: Any) -> PrivacyRequest:
    given: dict[str, Any] = {"profile": person(ANN), "came_by": CameBy.EMAIL, "by": BY, **more}
    return services.open_request(kind=kind, **given)


def begun(request: PrivacyRequest) -> PrivacyRequest:
    """With identity shown; not carried out yet."""
    services.confirm_identity(request=request, method=IdentityMethod.LOGGED_IN, note=f"{ANN} was there", by=BY)
    request.refresh_from_db()
    return request


def run(request: PrivacyRequest) -> PrivacyRequest:
    """As the worker does it."""
    carry_out.apply(args=[Job.objects.get(uuid=PrivacyRequest.objects.get(pk=request.pk).job_uuid).pk])
    request.refresh_from_db()
    return request


def done(kind: RequestKind, **more: Any) -> PrivacyRequest:
    request = run(begun(asked(kind, **more)))
    assert request.state == RequestState.DONE, list(request.targets.values())
    return request


def states(request: PrivacyRequest) -> dict[str, str]:
    return dict(request.targets.values_list("key", "state"))
