from django.apps import AppConfig


class RestConfig(AppConfig):
    name = "cdp.rest"
    label = "rest"
    verbose_name = "API keys"
