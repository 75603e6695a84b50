"""Start-up of the platform as Django apps: our admin site, and the checks that speak before anything is served."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class PlatformAdminConfig(AdminConfig):
    default_site = "cdp.admin_site.PlatformAdminSite"


class CdpConfig(AppConfig):
    name = "cdp"
    label = "cdp"
    verbose_name = "Customer data platform"

    def ready(self) -> None:
        # Registering is the point; without `celery`, tasks sent from here would go to a broker nobody named.
        from cdp import celery, checks, logs  # noqa: F401
