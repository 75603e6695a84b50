from django.apps import AppConfig


class ContentConfig(AppConfig):
    name = "cdp.content"
    label = "content"
    verbose_name = "Content"

    def ready(self) -> None:
        from cdp.content.reliance import names_showing
        from segments.handed_on import ask_before_ending

        ask_before_ending(names_showing)
