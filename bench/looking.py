"""The floor for look-ups: a bare Django view that asks the database one thing by an index, on the platform's own middleware.

Settings and addresses in one file; the platform's own addresses are there, too, so that both are served by one process.
"""

from cdp.settings import *  # noqa: F403

ROOT_URLCONF = "bench.looking"


def bare(request, value):  # type: ignore[no-untyped-def]
    from django.http import JsonResponse

    from cdp.profiles.models import Identifier

    found = Identifier.objects.filter(namespace="user_id", value=value).values_list("profile_id", flat=True).first()
    return JsonResponse({"profile": found})


def _patterns():  # type: ignore[no-untyped-def]
    from django.urls import path

    from cdp.urls import urlpatterns

    return [path("api/v1/bare/<str:value>/", bare), *urlpatterns]


# Django reads this module as settings first, when its URL machinery can't be imported yet.
def __getattr__(name):  # type: ignore[no-untyped-def]
    if name == "urlpatterns":
        return _patterns()
    raise AttributeError(name)
