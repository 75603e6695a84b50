"""Keys of people, wrapped by a master key that the database never sees. What they seal is kept by whoever sealed it."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class SubjectKey(models.Model):
    """The key of one subject: a profile's number, which is never given to anybody else.

    Once destroyed it stays so, by trigger: the row remains and says that nobody gets another one.
    """

    subject_id = models.BigIntegerField(primary_key=True)
    wrapped = models.BinaryField(null=True, help_text="Under the master key; empty once destroyed.")
    wrapped_by = models.CharField(max_length=16, help_text="Which master key.")
    created_at = models.DateTimeField(db_default=Now())
    destroyed_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "subject key"
        constraints = [
            models.CheckConstraint(
                condition=Q(wrapped__isnull=False, destroyed_at__isnull=True)
                | Q(wrapped__isnull=True, destroyed_at__isnull=False),
                name="vault_key_or_end",
            )
        ]
        # A rotation asks for all that are still wrapped by another key, and in the end for none.
        indexes = [
            models.Index(
                fields=["wrapped_by", "subject_id"], name="vault_wrapped_by", condition=Q(wrapped__isnull=False)
            )
        ]
