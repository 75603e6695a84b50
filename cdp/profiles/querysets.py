"""Reads of people and events that screens and the API share. What needs consent, segments or merges stands above."""

from contextlib import suppress
from datetime import date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.apps import apps
from django.db import connection, models
from django.db.models import Count
from django.db.models.functions import TruncDate

DERIVED = 7  # EventType.DERIVED; the models module imports this one

NAMESPACES = """
WITH RECURSIVE ns AS (
    (SELECT namespace FROM profiles_identifier ORDER BY namespace LIMIT 1)
    UNION ALL
    SELECT (SELECT namespace FROM profiles_identifier WHERE namespace > ns.namespace ORDER BY namespace LIMIT 1)
      FROM ns WHERE ns.namespace IS NOT NULL
)
SELECT namespace FROM ns WHERE namespace IS NOT NULL
"""


def namespaces() -> list[str]:
    """The namespaces in use; hops through the index instead of reading every identifier."""
    with connection.cursor() as cursor:
        cursor.execute(NAMESPACES)
        return [row[0] for row in cursor.fetchall()]


class ProfileQuerySet(models.QuerySet):  # type: ignore[type-arg]
    def found_by(self, text: str) -> "ProfileQuerySet":
        """People whom this text names exactly: a public id, ``namespace:value``, or a value in any namespace."""
        text = text.strip()
        named: models.Q = models.Q(pk__in=[])
        with suppress(ValueError):
            named |= models.Q(uuid=UUID(text))
        known = namespaces()
        identifiers = apps.get_model("profiles", "Identifier").objects  # the models module imports this one
        namespace, separator, value = text.partition(":")
        pairs = [(known, text)] + ([([namespace], value.strip())] if separator and namespace in known else [])
        for spaces, wanted in pairs:
            named |= models.Q(
                pk__in=models.Subquery(
                    identifiers.filter(namespace__in=spaces, value__in={wanted, wanted.lower()}).values("profile_id")
                )
            )
        return self.filter(named)


class EventQuerySet(models.QuerySet):  # type: ignore[type-arg]
    def sent(self) -> "EventQuerySet":
        """What came from outside; what the platform derived from it is left out."""
        return self.exclude(type=DERIVED)

    def per_day(self, *, since: datetime, until: datetime, time_zone: str) -> dict[date, int]:
        """Events per day of that time zone; days without any are absent."""
        rows: Any = (
            self.filter(occurred_at__gte=since, occurred_at__lt=until)
            .annotate(day=TruncDate("occurred_at", tzinfo=ZoneInfo(time_zone)))
            .order_by()
            .values_list("day")
            .annotate(Count("message_id"))
        )
        return dict(rows)
