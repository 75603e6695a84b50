from django.apps import AppConfig


class ActivationConfig(AppConfig):
    name = "cdp.activation"
    verbose_name = "Activation"

    def ready(self) -> None:
        from cdp.activation.reliance import names_handing_on, names_reading_purpose
        from consent.reliance import ask_before_deleting
        from segments.handed_on import ask_before_ending

        ask_before_deleting(names_reading_purpose)
        ask_before_ending(names_handing_on)
