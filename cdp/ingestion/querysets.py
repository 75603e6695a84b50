"""Reads of sources and quarantine that screens share."""

from django.db import models


class QuarantinedQuerySet(models.QuerySet):  # type: ignore[type-arg]
    def open(self) -> "QuarantinedQuerySet":
        """Neither replayed nor discarded: somebody still has to look at them."""
        return self.filter(replayed_at__isnull=True, discarded_at__isnull=True)
