"""The app's name card, so that Django finds its management commands. It has no models."""

from django.apps import AppConfig


class DemoConfig(AppConfig):
    name = "demo"
    label = "demo"
    verbose_name = "Demo data"
