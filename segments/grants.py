"""Who was granted what on one segment: rows that refer to it, and go with it.

Granting and looking up is in `segments.sharing`. django-guardian finds these tables by itself, since they refer to segments.
"""

from django.db import models
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase


class SegmentUserPermission(UserObjectPermissionBase):
    """To a person, or to the service account of a line of API keys."""

    content_object = models.ForeignKey("segments.Segment", on_delete=models.CASCADE, related_name="user_grants")


class SegmentGroupPermission(GroupObjectPermissionBase):
    """To everybody in a group."""

    content_object = models.ForeignKey("segments.Segment", on_delete=models.CASCADE, related_name="group_grants")
