from django.apps import AppConfig


class IdentityConfig(AppConfig):
    name = "cdp.identity"
    label = "identity"
    verbose_name = "Identity"
