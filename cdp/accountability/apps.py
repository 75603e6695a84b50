from django.apps import AppConfig


class AccountabilityConfig(AppConfig):
    name = "cdp.accountability"
    label = "accountability"
    verbose_name = "Accountability"
