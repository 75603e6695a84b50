"""The addresses of personas in the console. The screens are in `segments.personas.screens`."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.decorators.http import require_POST

from cdp.audit.admin_base import ReadOnlyAdmin
from segments.personas import screens
from segments.personas.models import Persona


@admin.register(Persona)
class PersonaAdmin(ReadOnlyAdmin):
    def get_urls(self) -> list[Any]:
        get = self.admin_site.admin_view

        def post(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
            return get(require_POST(view))

        return [*screens.addresses(get, post), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return screens.list_view(request)
