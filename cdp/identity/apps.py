from django.apps import AppConfig


class IdentityConfig(AppConfig):
    name = "cdp.identity"
    label = "identity"
    verbose_name = "Identity"

    def ready(self) -> None:
        from cdp.identity.together import brought_together
        from consent.apart import ask_who_was_who

        ask_who_was_who(brought_together)
