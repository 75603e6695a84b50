from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    name = "cdp.webhooks"
    verbose_name = "Webhooks"
