"""The floor for accepting: the barest Django view that makes the same bytes durable. Settings and URLs in one file."""

from cdp.settings import *  # noqa: F403

ROOT_URLCONF = "bench.bare"
MIDDLEWARE: list[str] = []


def keep(request):  # type: ignore[no-untyped-def]
    from django.http import HttpResponse

    from cdp.database import bound_cursor

    with bound_cursor() as cursor:
        cursor.execute("INSERT INTO bench_bare_inbox (body) VALUES (%b)", [request.body])
    answer = b'{"success":true}'
    return HttpResponse(answer, content_type="application/json", headers={"Content-Length": str(len(answer))})


def _patterns():  # type: ignore[no-untyped-def]
    from django.urls import path
    from django.views.decorators.csrf import csrf_exempt

    return [path("v1/batch", csrf_exempt(keep))]


# Django reads this module as settings first, when its URL machinery can't be imported yet.
def __getattr__(name):  # type: ignore[no-untyped-def]
    if name == "urlpatterns":
        return _patterns()
    raise AttributeError(name)
