"""The audit log's table. Written only through `cdp.audit.services.record`; never changed."""

import uuid

from django.db import models

from cdp.audit.actors import ActorKind


class AuditEntry(models.Model):
    """One act. Append-only by privilege and by trigger."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    recorded_at = models.DateTimeField()
    actor_kind = models.CharField(
        max_length=16, choices=[(k.value, k.name.replace("_", " ").title()) for k in ActorKind]
    )
    actor_id = models.CharField(max_length=64, blank=True)
    actor_label = models.CharField(max_length=150)
    action = models.CharField(max_length=64, help_text="Stable code, such as segment.created.")
    object_type = models.CharField(max_length=64, blank=True)
    object_id = models.CharField(max_length=64, blank=True)
    purpose = models.CharField(max_length=64, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    ip_prefix = models.CharField(max_length=64, blank=True)
    detail = models.JSONField(default=dict)

    class Meta:
        verbose_name = "audit entry"
        verbose_name_plural = "audit entries"
        ordering = ["-recorded_at"]
        indexes = [
            models.Index(fields=["-recorded_at"], name="audit_recorded_at"),
            models.Index(fields=["object_type", "object_id", "-recorded_at"], name="audit_object_life"),
            models.Index(fields=["action", "-recorded_at"], name="audit_action"),
            models.Index(fields=["actor_kind", "actor_id", "-recorded_at"], name="audit_actor"),
        ]

    def __str__(self) -> str:
        return f"{self.action} by {self.actor_label}"
