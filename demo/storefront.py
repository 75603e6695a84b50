"""A page of the simulated shop, as any site would have it: the banner, a few goods, and beside them what was held and sent.

It sends real events with the demo's browser key. Nothing here is needed to run the platform.
"""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from cdp.ingestion.models import Source
from cdp.profiles.models import Identifier, Workspace
from consent.links import Kind, token
from demo.accounts import SOURCES
from demo.catalogue import CATEGORIES, PRODUCTS, SHOP_NAME
from demo.world import BROWSER


@require_safe
def view(request: HttpRequest) -> HttpResponse:
    workspace = Workspace.current()
    source = Source.objects.filter(name=SOURCES[BROWSER][0]).first()
    key = source.write_keys.filter(revoked_at__isnull=True).first() if source else None
    if not workspace.is_simulated or key is None:
        raise Http404("There is no demo shop here.")
    # Somebody made up, whose link anybody may have.
    somebody = Identifier.objects.filter(namespace="email").select_related("profile").order_by("pk").first()
    context = {
        "shop": SHOP_NAME,
        "write_key": key.public_value,
        "goods": [next(one for one in PRODUCTS if one.category == category) for category in CATEGORIES],
        "preferences": reverse("preferences", args=[token(Kind.PREFERENCES, somebody.profile.uuid)])
        if somebody
        else "",
    }
    return render(request, "demo/shop.html", context)
