"""The Celery app: a carrier of job ids and a clock. What must not be lost lives in the database."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cdp.settings")

app = Celery("cdp")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.beat_schedule = {
    "send-stranded-jobs": {"task": "jobs.send_stranded", "schedule": 15.0},
    "make-partitions-ahead": {"task": "profiles.maintain_partitions", "schedule": 6 * 3600.0},
    "purge-seen-messages": {"task": "ingestion.purge_seen_messages", "schedule": 24 * 3600.0},
    "purge-quarantine": {"task": "ingestion.purge_quarantine", "schedule": 24 * 3600.0},
    "purge-figures-of-sources": {"task": "ingestion.purge_figures", "schedule": 600.0},
    "purge-audience-changes": {"task": "activation.purge_changes", "schedule": 24 * 3600.0},
    "recompute-thresholds-at-night": {"task": "segments.request_recomputation", "schedule": 600.0},
    "assign-to-clusters": {"task": "clusters.assign_arrived", "schedule": 180.0},
    "measure-fields-at-night": {"task": "fields.request_measurement", "schedule": 600.0},
    "draw-personas-at-night": {"task": "personas.request_portraits", "schedule": 600.0},
    "run-rfm-at-night": {"task": "rfm.request_run", "schedule": 600.0},
    "run-clusterings-at-night": {"task": "segments.request_cluster_runs", "schedule": 600.0},
    "purge-privacy": {"task": "privacy.purge", "schedule": 6 * 3600.0},
    "send-confirmations": {"task": "pages.send_confirmations", "schedule": 20.0},
    "discard-forgotten-imports": {"task": "collecting.discard_forgotten", "schedule": 24 * 3600.0},
    "tell-of-lost-counts": {"task": "content.tell_of_lost_counts", "schedule": 600.0},
    "verify-the-audit-log": {"task": "audit.request_verification", "schedule": 3600.0},
    "apply-retention-at-night": {"task": "retention.request", "schedule": 600.0},
    "say-that-it-lives": {"task": "heartbeats.beat", "schedule": 30.0},
    "make-planned-exports": {"task": "exports.request_due", "schedule": 60.0},
    "purge-webhooks": {"task": "webhooks.purge", "schedule": 6 * 3600.0},
    "purge-done-requests": {"task": "rest.purge_done_requests", "schedule": 3600.0},
    "purge-sessions": {"task": "log_in.purge", "schedule": 24 * 3600.0},
    "purge-finished-jobs": {"task": "jobs.purge_finished", "schedule": 24 * 3600.0},
}
