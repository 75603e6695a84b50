from django.apps import AppConfig


class PagesConfig(AppConfig):
    name = "cdp.pages"
    label = "pages"
    verbose_name = "People's own pages"

    def ready(self) -> None:
        from django.urls import reverse
        from django.utils.translation import gettext_lazy

        from cdp.pages.entries import Entry, offer
        from consent.links import Kind, token

        offer(
            Entry(
                text=gettext_lazy("Ask for your data, or have it erased"),
                about=gettext_lazy("A copy of what we know, an end to it, or to what we do with it."),
                address=lambda person: reverse("ask", args=[token(Kind.PREFERENCES, person.uuid)]),
            )
        )
