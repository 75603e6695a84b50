from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate


class BiConfig(AppConfig):
    name = "cdp.bi"
    verbose_name = "Views for business intelligence"

    def ready(self) -> None:
        from cdp.bi.making import make_views, make_way

        # They stand on tables of nearly every app, which migrations couldn't change under them.
        pre_migrate.connect(make_way, sender=self)
        post_migrate.connect(make_views, sender=self)
