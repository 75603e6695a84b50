"""A slot of the simulated shop: what its page says to whoever looked at goods, and to everybody else."""

from django.contrib.auth.models import User

from cdp.content.models import Slot
from cdp.content.services import create_slot
from demo.loading import LOADER

LOOKED = {"version": 1, "performed": "Product Viewed", "op": "gte", "value": 1}
DOCUMENT = {
    "variants": [
        {
            "name": "Looked at goods",
            "when": {"rule": LOOKED},
            "content": {"title": "Good to see you again.", "text": "What you looked at is still here."},
        },
        {"name": "Everybody else", "when": None, "content": {"title": "Welcome.", "text": "Have a look around."}},
    ],
    "default": None,
}


def make_welcome(*, user: User) -> Slot:
    """The slot, live and public; as somebody may have changed it, if it is there already."""
    found = Slot.objects.filter(key="shop-welcome").first()
    if found is not None:
        return found
    return create_slot(
        key="shop-welcome",
        name="Welcome of the demo shop",
        document=DOCUMENT,
        is_live=True,
        is_public=True,
        by=LOADER,
        user=user,
    )
