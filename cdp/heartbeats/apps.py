from django.apps import AppConfig


class HeartbeatsConfig(AppConfig):
    name = "cdp.heartbeats"
    verbose_name = "Heartbeats"
