"""Every door of the platform, in one place."""

from django.contrib import admin
from django.urls import include, path

from cdp import health, metrics
from cdp.content.public import personalize
from cdp.content.public import script as slots_script
from cdp.exports.fetching import fetch_by_link
from cdp.well_known import gpc

urlpatterns = [
    path("admin/", admin.site.urls),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", metrics.metrics),
    path(".well-known/gpc.json", gpc),
    path("api/v1/", include("cdp.api_urls")),
    path("v1/personalize/<str:write_key>", personalize),
    path("slots.js", slots_script, name="slots-script"),
    path("exports/<str:token>", fetch_by_link, name="export-by-link"),
    path("", include("cdp.ingestion.urls")),
    path("", include("cdp.pages.urls")),
    path("demo/", include("demo.urls")),
]
# Below /api/ they answer as the API does, elsewhere with Django's pages.
handler400 = "cdp.rest.errors.bad_request"
handler403 = "cdp.rest.errors.permission_denied"
handler404 = "cdp.rest.errors.page_not_found"
handler500 = "cdp.rest.errors.server_error"
