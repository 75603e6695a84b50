"""What a job is about, as far as its reader may know: the app that owns a kind of work says it.

Who may see jobs at all is in `cdp.jobs.querysets`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from django.contrib.auth.models import User

from cdp.jobs.models import Job

# Of these jobs the names that this user may read, by primary key; a job he may not know the object of has none.
Namer = Callable[[User, Sequence[Job]], Mapping[int, str]]
_namers: dict[str, Namer] = {}


def name_jobs(kind: str, namer: Namer) -> None:
    """Has jobs of this kind named; those of other kinds are about nothing that could be secret."""
    _namers[kind] = namer


def named_for(user: User, jobs: Iterable[Job]) -> list[Job]:
    """The jobs, each with `about`: a name, or "" where there is none; and `is_withheld` where this user may not know it."""
    found = list(jobs)
    names: dict[int, str] = {}
    for kind, namer in _namers.items():
        if mine := [job for job in found if job.kind == kind]:
            names.update(namer(user, mine))
    for job in found:
        job.about = names.get(job.pk, "")
        job.is_withheld = job.kind in _namers and job.pk not in names
    return found
