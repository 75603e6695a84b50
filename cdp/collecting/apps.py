from django.apps import AppConfig


class CollectingConfig(AppConfig):
    name = "cdp.collecting"
    label = "collecting"
    verbose_name = "Collecting consent"
