from django.apps import AppConfig


class LogInConfig(AppConfig):
    name = "cdp.log_in"
    label = "log_in"
    verbose_name = "Log-in"

    def ready(self) -> None:
        from django.contrib.auth.signals import user_logged_in

        from cdp.log_in.sessions import begin

        # Whichever door somebody came through, their session has a beginning, and so an end.
        user_logged_in.connect(begin, dispatch_uid="log_in.begin")
