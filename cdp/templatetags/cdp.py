"""Template tags of the console: the frame, icons, and how figures, times and names are written.

What a screen says stands in its view and its template, not here.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from django import template
from django.apps import apps
from django.contrib.auth.models import User
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language_info

from cdp import charts
from cdp.console.navigation import Shell, shell_for

register = template.Library()


@register.simple_tag(takes_context=True)
def console(context: template.Context) -> Shell:
    """The frame around this screen for this reader."""
    return shell_for(context.get("request"))


@register.simple_tag
def icon(name: str, size: str = "") -> SafeString:
    """An icon of the sprite, hidden from assistive technology: the words beside it say the same.

    Args:
        size: "s" for small, "turn" for the small arrow that turns when its details are open.
    """
    return _icon(name, size)


@lru_cache(maxsize=256)
def _icon(name: str, size: str) -> SafeString:
    """Kept, as a page may have hundreds; there are as many as templates name."""
    classes = {"": "i", "s": "i i-s", "turn": "i i-s i-turn"}[size]
    return format_html(
        '<svg class="{}" aria-hidden="true"><use href="{}#{}"/></svg>', classes, static("cdp/icons.svg"), name
    )


@register.simple_tag
def options(choices: Sequence[tuple[str, str]], chosen: Any = None) -> SafeString:
    """The options of a select, of (value, label); the chosen one is selected."""
    return _options(tuple(choices), chosen if isinstance(chosen, str) else "")


@lru_cache(maxsize=1024)
def _options(choices: tuple[tuple[str, str], ...], chosen: str) -> SafeString:
    """Kept, as a rule on the screen has the same few dozens of them over and over."""
    marks = {True: mark_safe(" selected"), False: ""}
    return format_html_join(
        "", '<option value="{}"{}>{}</option>', ((key, marks[key == chosen], label) for key, label in choices)
    )


@register.simple_tag
def bar(share: float | None, kind: str = "") -> SafeString:
    """A bar filled to ``share`` (0 to 1). Decoration: the figure stands beside it in words."""
    width = f"{min(1.0, max(0.0, float(share or 0))) * 100:.2f}%"
    return format_html(
        '<svg class="bar{}" aria-hidden="true"><rect class="bar-t" width="100%" height="100%"/>'
        '<rect class="bar-f" width="{}" height="100%"/></svg>',
        f" bar--{kind}" if kind else "",
        width,
    )


@register.filter
def n(value: Any) -> str:
    """A whole number with thousands separated, so that digits need no counting."""
    return "" if value is None else f"{int(value):,}"


@register.filter
def signed(value: int) -> str:
    """A difference: with its sign, and in words when there is none."""
    return f"{value:+,}" if value else "no change"


@register.filter
def money(value: Decimal | None) -> str:
    return "" if value is None else f"{value:,.2f}"


@register.filter
def figure(value: float | None) -> str:
    """A number with two decimals at most, and none where it has none."""
    return charts.written(value)


@register.filter
def plain_number(value: Decimal | None) -> str:
    """A figure without the zeros that only its column has."""
    return "" if value is None else f"{value.normalize():,f}"


@register.filter
def percent(share: float | None) -> str:
    """A share of 1 as a percentage, with more digits the smaller it is; never "0%" for something that is there."""
    if share is None:
        return ""
    percentage = float(share) * 100
    if percentage == 0 or percentage >= 10:
        return f"{percentage:.0f}%"
    if percentage < 0.01:
        return "under 0.01%"
    return f"{percentage:.2g}%"


@register.filter
def initials(user: User) -> str:
    words = (user.get_full_name() or user.get_username()).replace(".", " ").replace("_", " ").split()
    return "".join(word[0] for word in words[:2]).upper()


@register.filter
def letters(name: str) -> str:
    """Up to two letters that stand for a person."""
    return "".join(word[0] for word in name.split() if word[0].isalnum())[:2].upper()


@register.filter
def called(user: User | None) -> str:
    """How a user is named in a list."""
    return (user.get_full_name() or user.get_username()) if user else "nobody"


@register.filter
def when(moment: datetime | None) -> SafeString | str:
    """A moment in the workspace's time, short; the exact one is in the element's title and datetime."""
    if moment is None:
        return ""
    local = timezone.localtime(moment)
    now = timezone.localtime()
    seconds = (now - local).total_seconds()
    if 0 <= seconds < 60:
        short = "just now"
    elif 0 <= seconds < 3600:
        short = f"{int(seconds // 60)} min ago"
    elif local.date() == now.date():
        short = f"today {local:%H:%M}"
    elif local.year == now.year:
        short = f"{local.day} {local:%b, %H:%M}"
    else:
        short = f"{local.day} {local:%b %Y, %H:%M}"
    return _time(local, short)


@register.filter
def moment(value: datetime | None) -> SafeString | str:
    """A moment in the workspace's time to the second, always with its day and year: where it is evidence."""
    if value is None:
        return ""
    local = timezone.localtime(value)
    return _time(local, f"{local.day} {local:%b %Y, %H:%M:%S}")


def _time(local: datetime, text: str) -> SafeString:
    exact = f"{local.day} {local:%b %Y, %H:%M:%S %Z}"
    return format_html('<time datetime="{}" title="{}">{}</time>', local.isoformat(timespec="seconds"), exact, text)


@register.filter
def day(moment: datetime | None) -> SafeString | str:
    """The day of a moment in the workspace's time."""
    if moment is None:
        return ""
    local = timezone.localtime(moment)
    return format_html(
        '<time datetime="{}">{}</time>', local.isoformat(timespec="seconds"), f"{local.day} {local:%b %Y}"
    )


@register.filter
def duration(seconds: float | None) -> str:
    """A length of time in the two largest units that matter."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@register.filter
def pretty(value: Any) -> str:
    """JSON as people read it."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


@register.filter
def plain(value: Any) -> str:
    """One JSON value in a table cell."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(item) for item in value)
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


@register.filter
def job_kind(kind: str) -> str:
    """The code of a kind of job as words."""
    return kind.rpartition(".")[2].replace("_", " ").capitalize()


@register.filter
def short_id(key: Any) -> str:
    """The end of an id. A UUID of ours begins with when it was made: those of one minute look alike at their beginning."""
    text = str(key)
    return f"…{text[-12:]}" if len(text) > 14 else text


@register.filter
def act(code: str) -> str:
    """The code of an act as words: what it was done to, and what was done."""
    noun, _, verb = code.partition(".")
    return f"{noun.replace('_', ' ').capitalize()}: {verb.replace('_', ' ')}" if verb else code


@register.filter
def kind_of(label: str) -> str:
    """What `app.model` is called."""
    try:
        return str(apps.get_model(label)._meta.verbose_name)
    except (LookupError, ValueError):  # of an app that is gone, or an act on nothing
        return label.rpartition(".")[2]


@register.filter
def language(code: str) -> str:
    """A language by its name, with its code: "German (de)"."""
    try:
        return f"{get_language_info(code.lower())['name']} ({code})"
    except KeyError:
        return code


@register.filter
def iso_day(text: str) -> str:
    """The day out of a moment in ISO 8601, as days are written everywhere."""
    try:
        day = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{day.day} {day:%b %Y}"


@register.filter
def item(mapping: Mapping[Any, Any], key: Any) -> Any:
    """The value under this key, or None: templates can't look a variable up by themselves."""
    return mapping.get(key)
