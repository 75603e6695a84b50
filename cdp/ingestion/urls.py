"""The tracking API's addresses, as client libraries have them built in."""

from django.urls import path

from cdp.ingestion import banner, script, views

urlpatterns = [
    path("v1/pixel/<str:call>.gif", views.pixel),
    path("v1/pixel/<str:call>", views.pixel),
    path("v1/projects/<str:write_key>/settings", views.settings),
    path("v1/banner/<str:write_key>", banner.banner),
    path("banner.js", banner.script, name="banner"),
    path("analytics.js/v1/<str:write_key>/analytics.min.js", script.analytics),
    path("analytics-next/bundles/<str:name>", script.bundle),
    path("v1/<str:call>", views.collect),
    path("v1/<str:call>/", views.collect),
]
