from django.apps import AppConfig


class PagesConfig(AppConfig):
    name = "cdp.pages"
    label = "pages"
    verbose_name = "People's own pages"
