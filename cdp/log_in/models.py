"""What is kept of log-ins: sessions by user, so that they can be ended, and lockouts, so that they are seen and can be lifted."""

from django.contrib.auth.models import User
from django.db import models


class UserSession(models.Model):
    """Whose session it is. Django's own row says so only to whoever has the cookie."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="log_in_sessions")
    session_key = models.CharField(max_length=40, unique=True)
    began_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    factor = models.CharField(max_length=20, blank=True)
    ip_prefix = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ["-seen_at"]

    def __str__(self) -> str:
        return f"Session {self.pk}"


class Lockout(models.Model):
    """That an account or a network was held back for a while. What was typed as an account stands here only as its hash."""

    class Kind(models.TextChoices):
        ACCOUNT = "account", "Account"
        FACTOR = "factor", "Second factor"
        NETWORK = "network", "Network"

    kind = models.CharField(max_length=8, choices=Kind.choices)
    counter = models.CharField(max_length=120, help_text="The name it is counted under.")
    user = models.ForeignKey(
        User, null=True, on_delete=models.CASCADE, related_name="+", help_text="Empty: no account has that name."
    )
    ip_prefix = models.CharField(max_length=64, blank=True)
    began_at = models.DateTimeField()
    until = models.DateTimeField()
    lifted_at = models.DateTimeField(null=True)
    lifted_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["-began_at"]
        indexes = [models.Index(fields=["-began_at"], name="log_in_lockout_began")]

    def __str__(self) -> str:
        return f"Lockout {self.pk}"
