"""The form of a clustering: which features, how they are prepared, by which method; and how features lie among people.

How its fields are read is in `segments.clustering.reading`.
"""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final
from uuid import UUID

from django.contrib import messages
from django.db import OperationalError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from cdp.audit.admin_base import actor_of, reader_of
from cdp.charts import written
from cdp.database import limit_statements
from cdp.errors import DomainError, DomainErrors
from consent.models import Purpose
from consent.querysets import INTERNAL_ANALYSIS, purpose_or_error, purposes_for_lists
from segments.clustering import services
from segments.clustering.models import Clustering
from segments.clustering.pictures import step
from segments.clustering.reading import (
    ACTIONS,
    ALGORITHMS,
    LINKAGES,
    MISSING,
    OUTLIERS,
    SCALINGS,
    TRANSFORMS,
    Given,
    settings_from,
)
from segments.clustering.settings import MOST_FEATURES, ClusteringSettings, FeatureChoice
from segments.clustering.views import clustering_or_404, demand
from segments.features.catalogue import Feature, parts_of
from segments.features.discovery import features_named, features_there_are
from segments.features.statistics import FeatureStatistics, Statistics, feature_statistics
from segments.fields.distributions import Distribution
from segments.moments import moment_of_judgement

SECONDS: Final = 20
# Enough for a mean, a skew and a picture, and there while somebody reads the first lines of the form.
SAMPLE: Final = 5_000
STRONG: Final = 2.0  # a correlation of 1 is as strong a colour as two standard deviations
# What people can be told apart by in any shop: how often, how much, how lately, how they look around.
USUAL: Final = ("orders_per_month", "average_order_value", "recency_days", "sessions")
PRESETS: Final = {
    "How they buy": ("orders_per_month", "average_order_value", "recency_days", "discount_share", "refund_share"),
    "How they visit": ("sessions", "session_minutes", "page_views", "product_views", "days_since_visit"),
    "What they are worth": ("net_revenue", "orders_per_month", "average_order_value", "tenure_days"),
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One feature in the form."""

    feature: Feature
    id: str
    is_chosen: bool
    transform: str


def new_view(request: HttpRequest) -> HttpResponse:
    demand(request, "add_clustering")
    if request.method != "POST":
        return form(request, None, first_given())
    given = Given.of(request.POST)
    try:
        made = create(request, given)
    except DomainError as error:
        return form(request, None, given, error=error, status=422)
    return follow(request, made)


@transaction.atomic
def create(request: HttpRequest, given: Given) -> Clustering:
    return services.create_clustering(
        name=given.get("name"),
        description=given.get("description")[:2000],
        settings=settings_from(given, otherwise=ClusteringSettings()),
        purpose=given.get("purpose") or INTERNAL_ANALYSIS,
        is_nightly=given.get("is_nightly") == "yes",
        by=actor_of(request),
    )


def edit_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    clustering = clustering_or_404(request, uuid)
    demand(request, "change_clustering")
    if request.method != "POST":
        return form(request, clustering, given_of(clustering))
    given = Given.of(request.POST)
    try:
        services.change_clustering(
            clustering=clustering,
            name=given.get("name"),
            description=given.get("description")[:2000],
            settings=settings_from(given, otherwise=clustering.as_settings),
            purpose=given.get("purpose") or clustering.purpose.key,
            is_nightly=given.get("is_nightly") == "yes",
            by=actor_of(request),
        )
    except DomainError as error:
        return form(request, clustering, given, error=error, status=422)
    return follow(request, clustering)


def follow(request: HttpRequest, clustering: Clustering) -> HttpResponse:
    """To the clustering, running where that was asked for."""
    if "run" in request.POST and request.user.has_perm("segments.run_clustering"):
        try:
            services.request_run(clustering=clustering, by=actor_of(request), user=reader_of(request))
        except DomainError as error:
            messages.error(request, f"It can't run: {error.message}")
    else:
        messages.success(request, "Saved. Its clusters are as they were until it runs again.")
    return redirect("admin:segments_clustering_detail", uuid=clustering.uuid)


def first_given() -> Given:
    choices = tuple(FeatureChoice(key=key) for key in USUAL)
    return Given.from_settings(ClusteringSettings(features=choices), purpose=INTERNAL_ANALYSIS, is_first="yes")


def given_of(clustering: Clustering) -> Given:
    return Given.from_settings(
        clustering.as_settings,
        name=clustering.name,
        description=clustering.description,
        purpose=clustering.purpose.key,
        is_nightly="yes" if clustering.is_nightly else "",
    )


def form(
    request: HttpRequest,
    clustering: Clustering | None,
    given: Given,
    *,
    error: DomainError | None = None,
    status: int = 200,
) -> HttpResponse:
    features = offered(given)
    lines = [
        Line(
            feature=one,
            id=id_of(one.key),
            is_chosen=one.key in given.features,
            # In the form of a new clustering, what usually takes the skew out is chosen already.
            transform=one.transform
            if given.get("is_first") or one.key not in given.features
            else given.features[one.key],
        )
        for one in features
    ]
    families: dict[str, list[Line]] = {}
    for line in lines:
        families.setdefault(line.feature.family.value, []).append(line)
    context = {
        "clustering": clustering,
        "given": given,
        "families": [(name, found, sum(one.is_chosen for one in found)) for name, found in families.items()],
        "presets": [(name, [id_of(key) for key in keys]) for name, keys in PRESETS.items()],
        "transforms": [(key.value, label) for key, label in TRANSFORMS.items()],
        "choices": {
            "algorithm": [(key.value, label) for key, label in ALGORITHMS.items()],
            "linkage": [(key.value, label) for key, label in LINKAGES.items()],
            "missing": [(key.value, label) for key, label in MISSING.items()],
            "outliers": [(key.value, label) for key, label in OUTLIERS.items()],
            "outlier_action": [(key.value, label) for key, label in ACTIONS.items()],
            "scaling": [(key.value, label) for key, label in SCALINGS.items()],
        },
        "purposes": list(purposes_for_lists().order_by("label")),
        "most": MOST_FEATURES,
        "errors": by_field(error),
        "may_run": request.user.has_perm("segments.run_clustering"),
    }
    return render(request, "segments/clustering/edit.html", context, status=status)


def by_field(error: DomainError | None) -> dict[str, str]:
    """What is wrong by the field it stands at; "form" has what stands at none."""
    found: dict[str, list[str]] = {}
    errors = error.errors if isinstance(error, DomainErrors) else [error] if error else []
    for one in errors:
        name = one.pointer.removeprefix("/settings").strip("/").partition("/")[0] or "form"
        found.setdefault(name, []).append(one.message)
    return {name: " ".join(told) for name, told in found.items()}


def offered(given: Given) -> list[Feature]:
    """What there is to choose from over the window, for the purpose; what is chosen is among it, however rare it is by now."""
    purpose, as_of, days = asked(given)
    found = {one.key: one for one in features_there_are(purpose=purpose, as_of=as_of, window_days=days)}
    rare = [key for key in given.features if key not in found and parts_of(key) is not None]
    return [*found.values(), *features_named(rare)]


def asked(given: Given) -> tuple[Purpose, datetime, int]:
    try:
        purpose = purpose_or_error(given.get("purpose") or INTERNAL_ANALYSIS)
    except DomainError:
        purpose = purpose_or_error(INTERNAL_ANALYSIS)
    text = given.get("window_days")
    days = int(text) if text.isdecimal() and 0 < len(text) < 5 and int(text) > 0 else ClusteringSettings().window_days
    return purpose, moment_of_judgement(), min(days, 3_650)


def id_of(key: str) -> str:
    """A feature's key as a part of ids: categories and values may hold any text."""
    return sha256(key.encode()).hexdigest()[:12]


# ---- How features lie ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Cell:
    """How one feature lies, beside it in the form."""

    id: str
    filled: str
    mean: str
    skew: str
    is_skewed: bool
    is_empty: bool
    bars: tuple[tuple[str, str, str], ...]  # x, y and height, of a field of 96 by 24


def statistics_view(request: HttpRequest) -> HttpResponse:
    """The figures of all features that are offered, of a sample of people."""
    demand(request, "view_clustering")
    given = Given.of(request.GET)
    found = looked_at(given, [one.key for one in offered(given)])
    context = (
        {"refused": found} if isinstance(found, str) else {"found": found, "cells": list(map(cell_of, found.features))}
    )
    return render(request, "segments/clustering/_statistics.html", context)


def together_view(request: HttpRequest) -> HttpResponse:
    """How the chosen features go together: which of them say the same."""
    demand(request, "view_clustering")
    given = Given.of(request.GET)
    labels = {one.key: one.label for one in offered(given) if one.key in given.features}
    if len(labels) < 2:
        return render(request, "segments/clustering/_together.html", {})
    found = looked_at(given, list(labels)[:MOST_FEATURES])
    if isinstance(found, str):
        return render(request, "segments/clustering/_together.html", {"refused": found})
    names = [labels[one.key] for one in found.features]
    context = {
        "found": found,
        "alike": [(labels[one], labels[other], f"{value:+.2f}") for one, other, value in found.alike],
        "names": names,
        "rows": [
            (name, [(step(value * STRONG), f"{value:+.2f}") if value is not None else (0, "–") for value in line])
            for name, line in zip(names, found.correlations, strict=True)
        ],
    }
    return render(request, "segments/clustering/_together.html", context)


def looked_at(given: Given, keys: list[str]) -> Statistics | str:
    """How these features lie; why that can't be said, where it can't."""
    purpose, as_of, days = asked(given)
    try:
        with transaction.atomic():
            limit_statements(seconds=SECONDS)
            return feature_statistics(keys, as_of=as_of, window_days=days, purpose=purpose, sample=SAMPLE)
    except DomainError as error:
        return error.message
    except OperationalError:
        return f"Counting took longer than {SECONDS} seconds."


def cell_of(one: FeatureStatistics) -> Cell:
    return Cell(
        id=id_of(one.key),
        filled=f"{one.fill_rate:.0%}",
        mean="" if one.mean is None else written(one.mean),
        skew="" if one.skew is None else f"{one.skew:.1f}",
        is_skewed=one.skew is not None and abs(one.skew) > 2,
        is_empty=one.filled == 0 or one.is_constant,
        bars=bars_of(one.distribution),
    )


def bars_of(distribution: Distribution, *, width: float = 96, height: float = 24) -> tuple[tuple[str, str, str], ...]:
    """Bars of a small histogram: its bins between the edges, each as wide as the others."""
    counts = distribution.counts
    highest = max(counts, default=0)
    if not highest:
        return ()
    step = width / len(counts)
    return tuple(
        (f"{number * step:.1f}", f"{height - (tall := max(1.0, count / highest * height)):.1f}", f"{tall:.1f}")
        for number, count in enumerate(counts)
        if count
    )
