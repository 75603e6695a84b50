"""The messages that ask somebody to confirm a yes, or that a wish is theirs: who gets them, in which language, what they say.

When it is sent, and what becomes of one that can't be, is in `cdp.pages.sending`.
"""

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language, gettext, override

from cdp.errors import DomainError
from cdp.pages.language import of_person
from cdp.pages.telling import told_of
from cdp.privacy.models import PrivacyRequest
from cdp.profiles.models import Profile, Workspace
from consent.links import Kind, absolute, token
from consent.models import Confirmation
from consent.unsubscribing import list_unsubscribe_headers


class NoAddress(DomainError):
    """Nobody knows an email address of theirs; one may come yet."""

    def __init__(self) -> None:
        super().__init__("no_address", "There is no email address to send the link to.")


def address_of(person: Profile) -> str:
    """The address by which they were seen last.

    Raises:
        NoAddress: there is none.
    """
    known = person.identifiers.filter(namespace="email").order_by("-last_seen_at", "-pk")
    address = known.values_list("value", flat=True).first()
    if address is None:
        raise NoAddress
    return address


def confirmation(link: Confirmation, person: Profile) -> EmailMultiAlternatives:
    """The message, in words and as a page. One click on the header's link says no instead.

    Raises:
        NoAddress: nobody knows where to send it.
        NoPublicAddress: it isn't known where people reach us.
    """
    record, workspace = link.record, Workspace.current()
    to = address_of(person)
    language = of_person(person, rather=str(record.evidence.get("language", "")))
    with override(language), timezone.override(workspace.zone):
        told = told_of(record.purpose, record.notice_version)
        context = {
            "shop": workspace.name,
            "language": language,
            "told": told,
            "until": link.expires_at,
            "said_at": record.collected_at,
            "url": absolute(reverse("confirm", args=[token(Kind.CONFIRMATION, link.pk)])) + f"?lang={language}",
        }
        subject = gettext("Please confirm: %(label)s") % {"label": told.label}
        message = EmailMultiAlternatives(
            subject=" ".join(subject.split()),  # a line break in a header would begin another one
            body=render_to_string("pages/mail/confirm.txt", context),
            from_email=settings.DEFAULT_FROM_EMAIL,
            to=[to],
            headers={
                **list_unsubscribe_headers(person, record.purpose),
                "Auto-Submitted": "auto-generated",
                "Content-Language": language,
            },
        )
        message.attach_alternative(render_to_string("pages/mail/confirm.html", context), "text/html")
    return message


def proof(asked: PrivacyRequest, person: Profile) -> EmailMultiAlternatives:
    """The message by which somebody says that a privacy request is theirs. It doesn't say what for: mail is read by others.

    Raises:
        NoAddress: nobody knows where to send it.
        NoPublicAddress: it isn't known where people reach us.
    """
    workspace, to = Workspace.current(), address_of(person)
    language = of_person(person, rather=get_language() or "")
    with override(language), timezone.override(workspace.zone):
        context = {
            "shop": workspace.name,
            "language": language,
            "hours": settings.IDENTITY_LINK_HOURS,
            "url": absolute(reverse("prove", args=[token(Kind.IDENTITY, asked.uuid, asked.asker.hex)]))
            + f"?lang={language}",
        }
        message = EmailMultiAlternatives(
            subject=gettext("Was it you?"),
            body=render_to_string("pages/mail/proof.txt", context),
            from_email=settings.DEFAULT_FROM_EMAIL,
            to=[to],
            headers={"Auto-Submitted": "auto-generated", "Content-Language": language},
        )
        message.attach_alternative(render_to_string("pages/mail/proof.html", context), "text/html")
    return message
