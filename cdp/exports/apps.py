from django.apps import AppConfig


class ExportsConfig(AppConfig):
    name = "cdp.exports"
    verbose_name = "Exports"

    def ready(self) -> None:
        from cdp.exports.access import names_of_exports
        from cdp.exports.services import KIND
        from cdp.jobs.naming import name_jobs

        name_jobs(KIND, names_of_exports)
