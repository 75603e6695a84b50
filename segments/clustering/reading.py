"""What the form of a clustering says, as settings; and settings as the form shows them.

What may be set to what is checked by `segments.clustering.settings`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from django.http import QueryDict

from cdp.errors import DomainError, DomainErrors
from segments.analytics.methods import Algorithm, Linkage
from segments.analytics.preparing import Missing, OutlierAction, OutlierTest, Scaling, Transform
from segments.clustering.settings import ClusteringSettings, FeatureChoice

ALGORITHMS: Final = {
    Algorithm.KMEANS: "K-means: round groups of any size",
    Algorithm.MINIBATCH: "Mini-batch k-means: the same, faster and a little rougher",
    Algorithm.HIERARCHICAL: "Hierarchical: puts the closest together, step by step (on a sample)",
    Algorithm.DBSCAN: "DBSCAN: dense groups of any shape, and people in none (on a sample)",
    Algorithm.HDBSCAN: "HDBSCAN: dense groups of any shape and density (on a sample)",
}
LINKAGES: Final = {
    Linkage.WARD: "Ward: groups of little spread",
    Linkage.AVERAGE: "Average distance",
    Linkage.COMPLETE: "Complete: the farthest two",
}
MISSING: Final = {
    Missing.MEDIAN: "Put in what is usual (the median)",
    Missing.ZERO: "Count it as 0",
    Missing.EXCLUDE: "Leave the person out",
}
OUTLIERS: Final = {
    OutlierTest.NONE: "Don't look for them",
    OutlierTest.ZSCORE: "Standard deviations from the mean",
    OutlierTest.IQR: "Interquartile ranges from the quartiles",
}
ACTIONS: Final = {
    OutlierAction.KEEP: "Keep them, and say how many",
    OutlierAction.CLIP: "Draw them in to the limit",
    OutlierAction.SET_ASIDE: "Set the person aside, in no cluster",
}
SCALINGS: Final = {
    Scaling.STANDARD: "Standard: mean 0, standard deviation 1",
    Scaling.MIN_MAX: "Min-max: from 0 to 1",
    Scaling.ROBUST: "Robust: median 0, interquartile range 1",
    Scaling.NONE: "As it is",
}
TRANSFORMS: Final = {Transform.NONE: "as it is", Transform.LOG1P: "logarithm"}
BEFORE: Final = "transform:"


@dataclass(frozen=True, kw_only=True)
class Given:
    """What somebody put into the form, as it stands there, whether it can be read or not."""

    values: Mapping[str, str]
    features: Mapping[str, str]  # key -> transform

    @classmethod
    def of(cls, data: QueryDict) -> "Given":
        features = {key: data.get(BEFORE + key, Transform.NONE.value) for key in data.getlist("feature")}
        return cls(values={name: data.get(name, "").strip() for name in data if name != "feature"}, features=features)

    @classmethod
    def from_settings(cls, settings: ClusteringSettings, **more: str) -> "Given":
        values = {
            name: "" if (value := getattr(settings, name)) is None else str(getattr(value, "value", value))
            for name in (*CHOICES, *NUMBERS)
        }
        values["choose_k"] = "auto" if settings.clusters is None else "given"
        values["clusters"] = str(settings.clusters or 4)
        values["hold_percent"] = f"{settings.hold_share * 100:g}"
        return cls(values={**values, **more}, features={one.key: one.transform.value for one in settings.features})

    def get(self, name: str) -> str:
        return self.values.get(name, "")


CHOICES: Final[Mapping[str, type]] = {
    "missing": Missing,
    "outliers": OutlierTest,
    "outlier_action": OutlierAction,
    "scaling": Scaling,
    "algorithm": Algorithm,
    "linkage": Linkage,
}
NUMBERS: Final[Mapping[str, tuple[Callable[[str], Any], bool]]] = {  # how it is read, and whether it may be left empty
    "outlier_limit": (float, False),
    "clusters": (int, True),
    "fewest": (int, False),
    "most": (int, False),
    "eps": (float, True),
    "min_samples": (int, True),
    "min_cluster_size": (int, True),
    "window_days": (int, False),
    "seed": (int, False),
}


def settings_from(given: Given, *, otherwise: ClusteringSettings) -> ClusteringSettings:
    """The settings that were given; what the form doesn't hold stays as it was.

    Raises:
        DomainErrors: what can't be read, each at its field.
    """
    errors: list[DomainError] = []
    found: dict[str, Any] = {}
    for name, kind in CHOICES.items():
        if name in given.values:
            try:
                found[name] = kind(given.values[name])
            except ValueError:
                errors.append(_error(name, "Choose one of the list."))
    for name, (read, may_be_empty) in NUMBERS.items():
        text = given.get(name)
        if name not in given.values or (not text and may_be_empty):
            found[name] = None if name in given.values else getattr(otherwise, name)
            continue
        try:
            found[name] = read(text.replace(",", ""))
            if found[name] != found[name] or abs(found[name]) == float("inf"):
                raise ValueError
        except ValueError:
            whole = "a whole number" if read is int else "a number"
            errors.append(_error(name, f"Type {whole}; “{text[:20]}” is none." if text else f"Type {whole}."))
    if given.get("choose_k") == "auto":
        found["clusters"] = None
        errors = [one for one in errors if one.pointer != "/settings/clusters"]
    elif given.get("choose_k") == "given" and found.get("clusters") is None:
        errors = [one for one in errors if one.pointer != "/settings/clusters"]
        errors.append(_error("clusters", "Type how many clusters there shall be."))
    found["hold_share"] = _share(given, otherwise, errors)
    found["features"] = _features(given, errors)
    if errors:
        raise DomainErrors(errors, code="settings_wrong", message="Some fields can't be read.")
    return replace(otherwise, **found)


def _share(given: Given, otherwise: ClusteringSettings, errors: list[DomainError]) -> float:
    if "hold_percent" not in given.values:
        return otherwise.hold_share
    try:
        share = float(given.get("hold_percent")) / 100
    except ValueError:
        errors.append(_error("hold_share", "Type a percentage."))
        return otherwise.hold_share
    return share if share == share else otherwise.hold_share


def _features(given: Given, errors: list[DomainError]) -> tuple[FeatureChoice, ...]:
    chosen = []
    for key, transform in given.features.items():
        try:
            chosen.append(FeatureChoice(key=key, transform=Transform(transform)))
        except ValueError:
            errors.append(_error("features", f"“{key[:40]}” is taken as it is, or its logarithm."))
    return tuple(chosen)


def _error(name: str, message: str) -> DomainError:
    return DomainError("setting_wrong", message, f"/settings/{name}")
