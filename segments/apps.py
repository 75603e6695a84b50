from django.apps import AppConfig


class SegmentsConfig(AppConfig):
    name = "segments"
    verbose_name = "Segments"

    def ready(self) -> None:
        from cdp.jobs.naming import name_jobs
        from cdp.profiles.reliance import ask_before_retyping
        from consent.reliance import ask_before_deleting, follow_decisions, follow_modes, follow_stops
        from segments.clustering.services import RUN_KIND as CLUSTERING_KIND
        from segments.clustering.showing import names_of_runs
        from segments.decisions import judge
        from segments.features.leaving import forget_the_stopped, forget_who_withdrew
        from segments.relying import follow_new_mode, names_asking_for, names_relying_on
        from segments.services import REFRESH_KIND
        from segments.sharing import names_of_refreshes

        name_jobs(REFRESH_KIND, names_of_refreshes)
        name_jobs(CLUSTERING_KIND, names_of_runs)
        ask_before_retyping(names_relying_on)
        ask_before_deleting(names_asking_for)
        follow_modes(follow_new_mode)
        follow_decisions(judge)
        follow_decisions(forget_who_withdrew)
        follow_stops(forget_the_stopped)
