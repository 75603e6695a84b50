"""How webhooks fared lately, in figures for their screens."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from django.db.models import Count, Q
from django.db.models.functions import TruncDate

from cdp.small_charts import DayChart, day_chart
from cdp.webhooks.models import Attempt, Delivery, DeliveryState, Webhook

LATELY: Final = timedelta(hours=24)
DAYS: Final = 14


@dataclass(frozen=True, kw_only=True, slots=True)
class Fared:
    """Of the tries of the last 24 hours: how many were taken, and how many failed; how much waits, and was given up."""

    taken: int = 0
    failed: int = 0
    waiting: int = 0
    dead: int = 0

    @property
    def share(self) -> float | None:
        """None where nothing was tried."""
        tried = self.taken + self.failed
        return self.taken / tried if tried else None


def fared(webhooks: Iterable[Webhook], *, now: datetime) -> dict[int, Fared]:
    """By webhook."""
    ids = [one.pk for one in webhooks]
    tries = (
        Attempt.objects.filter(delivery__webhook__in=ids, at__gte=now - LATELY)
        .order_by()
        .values_list("delivery__webhook")
        .annotate(taken=Count("pk", filter=Q(why="")), failed=Count("pk", filter=~Q(why="")))
    )
    tried = {webhook: (taken, failed) for webhook, taken, failed in tries}
    left = (
        Delivery.objects.filter(webhook__in=ids, state__in=[DeliveryState.WAITING, DeliveryState.DEAD])
        .order_by()
        .values_list("webhook")
        .annotate(
            waiting=Count("pk", filter=Q(state=DeliveryState.WAITING)),
            dead=Count("pk", filter=Q(state=DeliveryState.DEAD)),
        )
    )
    remaining = {webhook: (waiting, dead) for webhook, waiting, dead in left}
    return {
        pk: Fared(
            taken=tried.get(pk, (0, 0))[0],
            failed=tried.get(pk, (0, 0))[1],
            waiting=remaining.get(pk, (0, 0))[0],
            dead=remaining.get(pk, (0, 0))[1],
        )
        for pk in ids
    }


def delivered_by_day(webhook: Webhook, *, today: date) -> DayChart:
    """How many deliveries were taken on each of the last days, in the workspace's zone."""
    counted = (
        webhook.deliveries.filter(state=DeliveryState.DELIVERED, finished_at__date__gt=today - timedelta(days=DAYS))
        .order_by()
        .annotate(day=TruncDate("finished_at"))
        .values_list("day")
        .annotate(count=Count("pk"))
    )
    return day_chart(dict(counted), last=today, days=DAYS)
