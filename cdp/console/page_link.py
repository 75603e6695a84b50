"""A link to a person's own page, for one of us who helps them: asked for with a reason, shown once, and on record.

Whoever has it could decide in their name; so what is decided by it says that staff had it in their hands.
"""

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from cdp.audit.admin_base import actor_of
from cdp.errors import DomainError
from cdp.pages.issuing import Why, issue_links
from cdp.profiles.models import Profile


class Wanted(forms.Form):
    why = forms.ChoiceField(
        label="What you need it for",
        choices=[
            ("", "Choose"),
            (Why.ASKED.value, "They asked for it"),
            (Why.MESSAGE.value, "For a message to them"),
        ],
        widget=forms.Select(attrs={"class": "in"}),
    )


def view(request: HttpRequest, person: Profile, *, name: str) -> HttpResponse:
    """Asking shows nothing: the link is made by POST, and shown in the answer and never again."""
    form = Wanted(request.POST or None)
    link = None
    if request.method == "POST" and form.is_valid():
        try:
            [link] = issue_links(people=[person], why=Why(form.cleaned_data["why"]), by=actor_of(request), is_seen=True)
        except DomainError as error:
            form.add_error(None, error.message)
    context = {"person": person, "name": name, "form": form, "link": link}
    response = render(request, "people/link.html", context, status=422 if form.errors else 200)
    response["Cache-Control"] = "no-store, private"
    return response
