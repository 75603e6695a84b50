"""The floors for look-ups: a bare Django view that asks the database one thing by an index.

Settings and addresses in one file. On the platform's own middleware it is served by one process with the platform; with
`BENCH_PLAIN=1` it has nothing but what `django-admin startproject` gives a project.
"""

import os

from cdp.settings import *  # noqa: F403

ROOT_URLCONF = "bench.looking"
if os.environ.get("BENCH_PLAIN"):
    MIDDLEWARE = [
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
        "allauth.account.middleware.AccountMiddleware",  # it refuses to start without
    ]


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
