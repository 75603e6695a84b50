"""Celery's doors to imports of consent: thin, safe to run twice."""

from celery import Task, shared_task
from django.db import OperationalError

from cdp.audit.actors import Actor
from cdp.collecting import files
from cdp.collecting.models import ConsentImport
from cdp.errors import NotFound
from cdp.jobs.services import lease
from segments.uploads.services import discard_forgotten as discard_forgotten_uploads


@shared_task(
    bind=True,
    name=files.APPLY_KIND,
    autoretry_for=(OperationalError,),
    retry_backoff=True,
    max_retries=5,
    acks_late=True,
)
def apply_import(self: Task, job_id: int) -> None:
    with lease(job_id, worker=self.request.hostname or "") as held:
        if held is None:
            return
        file = ConsentImport.objects.filter(uuid=held.params["import"]).first()
        if file is None:
            raise NotFound("import_not_found", "The file was discarded before it was applied.")
        by = Actor.system(f"import asked for by {file.uploaded_by}")
        done = files.apply(file=file, by=by, progress=held.progress)
        held.job.result = {"recorded": done.recorded, "repeated": done.repeated, "unknown": done.unknown}


@shared_task(name="collecting.discard_forgotten", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=3)
def discard_forgotten() -> int:
    return files.discard_forgotten() + discard_forgotten_uploads()
