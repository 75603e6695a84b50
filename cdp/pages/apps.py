from django.apps import AppConfig


class PagesConfig(AppConfig):
    name = "cdp.pages"
    label = "pages"
    verbose_name = "People's own pages"

    def ready(self) -> None:
        from django.urls import reverse
        from django.utils.translation import gettext_lazy

        from cdp.pages.entries import Entry, offer

        offer(
            Entry(
                text=gettext_lazy("Your receipts"),
                about=gettext_lazy("Each decision of yours, when you made it and on which words, to read and to keep."),
                address=lambda token: reverse("receipts", args=[token]),
            )
        )
        offer(
            Entry(
                text=gettext_lazy("Ask for your data, or have it erased"),
                about=gettext_lazy("A copy of what we know, an end to it, or to what we do with it."),
                address=lambda token: reverse("ask", args=[token]),
            )
        )
