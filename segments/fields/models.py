"""The figures of fields as they were last taken. How they are taken is in `segments.fields.measuring`."""

from django.db import models
from django.utils import timezone


class FieldKind(models.TextChoices):
    """What a condition can be about. Segments have their figures in their own rows, and none here."""

    EVENT = "event", "Event"
    TRAIT = "trait", "Trait"
    PROPERTY = "property", "Property"
    SCORE = "score", "Score"
    SEGMENT = "segment", "Segment"
    LIST = "list", "List"
    PURPOSE = "purpose", "Permission"


class FieldStatistics(models.Model):
    """How many people have a field, and how its values lie among those who permit being counted.

    Nothing in it stands for fewer than five people, whatever they have, and nothing but a count for a personal field. It is
    named by what rules name it by, so that a look at a catalogue finds all figures at once.
    """

    kind = models.CharField(max_length=8, choices=FieldKind.choices)
    event = models.CharField(max_length=200, blank=True, help_text="Of which event it is a property.")
    key = models.CharField(max_length=200)
    filled = models.BigIntegerField(
        help_text="Who has it; of an event who did it in 30 days; of a property the events."
    )
    of = models.BigIntegerField(help_text="Of how many people, or events, they are.")
    occurrences = models.BigIntegerField(null=True, help_text="Of an event, how many there were in 30 days.")
    people = models.BigIntegerField(null=True, help_text="Of a property, of how many people the events are.")
    distinct = models.BigIntegerField(null=True, help_text="How many different values there are.")
    type = models.CharField(max_length=16, blank=True, help_text="Of a property, what its values mostly are.")
    distribution = models.JSONField(null=True, help_text="Of numbers and dates: `Distribution.as_json`.")
    top = models.JSONField(default=list, help_text="The commonest values, each with how many people have it.")
    sources = models.JSONField(
        default=list, help_text="Numbers of the sources that set it last, with of how many people."
    )
    last_seen_at = models.DateTimeField(null=True, help_text="Of an event, to the hour.")
    as_of = models.DateTimeField()
    computed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["kind", "event", "key"], name="segments_one_statistic_per_field"),
            models.CheckConstraint(
                condition=models.Q(filled__gte=0) & models.Q(of__gte=models.F("filled")),
                name="segments_statistic_is_a_share",
            ),
        ]
        permissions = [("measure_fields", "Can have the figures of fields taken anew")]

    def __str__(self) -> str:
        return f"{self.kind} {self.event} {self.key}".replace("  ", " ")

    @property
    def share(self) -> float:
        return self.filled / self.of if self.of else 0.0
