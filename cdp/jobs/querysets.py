"""Reads of jobs that screens and the API share."""

from datetime import timedelta

from django.contrib.auth.models import AbstractBaseUser
from django.db import models
from django.utils import timezone
from guardian.shortcuts import get_objects_for_user

UNFINISHED_STATES = ("queued", "running")


class JobQuerySet(models.QuerySet):  # type: ignore[type-arg]
    def unfinished(self) -> "JobQuerySet":
        return self.filter(state__in=UNFINISHED_STATES)

    def failed_lately(self, *, days: int = 7) -> "JobQuerySet":
        """Failed within the last days: old failures no longer need anybody."""
        return self.filter(state="failed", finished_at__gte=timezone.now() - timedelta(days=days))

    def visible_to(self, user: AbstractBaseUser) -> "JobQuerySet":
        """Those this user started, was given to follow, or may see because he may see all."""
        given = get_objects_for_user(user, "jobs.view_job", klass=self.model, accept_global_perms=True)
        return self.filter(models.Q(created_by=user) | models.Q(pk__in=given.order_by().values("pk")))
