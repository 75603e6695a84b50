from django.apps import AppConfig


class ContentConfig(AppConfig):
    name = "cdp.content"
    label = "content"
    verbose_name = "Content"
