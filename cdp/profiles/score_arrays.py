"""Writes scores that stand in arrays into a run, a million without a call for each.

Rows are laid out as the binary form of COPY has them, by numpy. What runs are, and how they come to be read, is in
`cdp.profiles.score_services`.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from django.db import transaction
from numpy.typing import ArrayLike, NDArray

from cdp.database import bound_cursor
from cdp.errors import DomainError
from cdp.profiles.models import ScoreRun
from cdp.profiles.score_services import KEY_LIMIT, LABEL_LIMIT, refuse_if_published

CHUNK: Final = 50_000
_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = b"\xff\xff"
# numeric(19,4) in the binary form: five digits of base 10,000, of which one stands behind the point.
_BASE: Final = 10_000
_DIGITS: Final = 5
LARGEST: Final = 10**11
"""Beyond it a float doesn't have four places after the point."""


@transaction.atomic
def add_score_arrays(
    *,
    run: ScoreRun,
    key: str,
    profile_ids: ArrayLike,
    numbers: ArrayLike | None = None,
    codes: ArrayLike | None = None,
    labels: Sequence[str] = (),
) -> int:
    """How many scores the run has more: one of each person under the key.

    Args:
        profile_ids: (n,) whole numbers, each once.
        numbers: (n,) of them, kept to four places; None where the score has only labels.
        codes: (n,) whole numbers, the place of each person's label in ``labels``; None where it has only numbers.
        labels: the words.

    Raises:
        Conflict: the run is published.
        DomainError: scores that say nothing, a key or label that is missing or too long, or a number that isn't finite or too large.
        ValueError: arrays that don't belong together.
        IntegrityError: a person has two scores of the key.
    """
    refuse_if_published(run)
    ids = np.asarray(profile_ids, dtype=np.int64)
    said = None if numbers is None else np.asarray(numbers, dtype=np.float64)
    words = None if codes is None else np.asarray(codes, dtype=np.int64)
    _check(key, ids, said, words, labels)
    with (
        bound_cursor() as cursor,
        cursor.copy("COPY profiles_score (run_id, profile_id, key, number, label) FROM STDIN (FORMAT BINARY)") as copy,
    ):
        copy.write(_HEADER)
        for part in _parts(run.pk, key, ids, said, words, labels):
            copy.write(part)
        copy.write(_TRAILER)
    return len(ids)


def _check(
    key: str,
    ids: NDArray[np.int64],
    numbers: NDArray[np.float64] | None,
    codes: NDArray[np.int64] | None,
    labels: Sequence[str],
) -> None:
    if not 0 < len(key) <= KEY_LIMIT or not all(0 < len(one) <= LABEL_LIMIT for one in labels):
        raise DomainError(
            "score_too_long", f"A key has 1 to {KEY_LIMIT} characters, a label 1 to {LABEL_LIMIT}: {key[:80]!r}"
        )
    if numbers is None and codes is None:
        raise DomainError("score_says_nothing", f"A score has a number or a label: {key!r}")
    if any(one is not None and one.shape != ids.shape for one in (numbers, codes)):
        raise ValueError("each person has one number and one code")
    if codes is not None and len(codes) and not (codes.min() >= 0 and codes.max() < len(labels)):
        raise ValueError("a code is the place of a label")
    if numbers is not None and not (np.isfinite(numbers) & (np.abs(numbers) < LARGEST)).all():
        raise DomainError("score_out_of_range", f"A number of {key!r} isn't finite, or has more than eleven digits.")


def _parts(
    run_id: int,
    key: str,
    ids: NDArray[np.int64],
    numbers: NDArray[np.float64] | None,
    codes: NDArray[np.int64] | None,
    labels: Sequence[str],
) -> Iterator[bytes]:
    """Rows in the order of ids, which indexes take up fastest, a chunk at a time."""
    order = np.argsort(ids, kind="stable")
    for start in range(0, len(ids), CHUNK):
        some = order[start : start + CHUNK]
        said = None if numbers is None else numbers[some]
        if codes is None:
            yield _rows(run_id, key, ids[some], said, None).tobytes()
            continue
        # Rows of one label are of one length: laid out by label, and put where they belong among the others.
        by_label = {code: np.flatnonzero(codes[some] == code) for code in np.unique(codes[some]).tolist()}
        made = {
            code: _rows(run_id, key, ids[some][places], None if said is None else said[places], labels[code])
            for code, places in by_label.items()
        }
        lengths = np.empty(len(some), dtype=np.int64)
        for code, places in by_label.items():
            lengths[places] = made[code].dtype.itemsize
        starts = np.cumsum(lengths) - lengths
        whole = np.empty(int(lengths.sum()), dtype=np.uint8)
        for code, places in by_label.items():
            size = made[code].dtype.itemsize
            whole[starts[places][:, None] + np.arange(size)] = made[code].view(np.uint8).reshape(-1, size)
        yield whole.tobytes()


def _rows(
    run_id: int, key: str, ids: NDArray[np.int64], numbers: NDArray[np.float64] | None, label: str | None
) -> NDArray[Any]:
    told, word = key.encode(), (label or "").encode()
    number_bytes = 8 + 2 * _DIGITS
    layout: list[Any] = [
        ("fields", ">i2"),
        ("run_bytes", ">i4"),
        ("run", ">i8"),
        ("id_bytes", ">i4"),
        ("id", ">i8"),
        ("key_bytes", ">i4"),
        ("key", f"S{len(told)}"),
        ("number_bytes", ">i4"),
    ]
    if numbers is not None:
        layout += [
            ("ndigits", ">i2"),
            ("weight", ">i2"),
            ("sign", ">u2"),
            ("scale", ">i2"),
            ("digits", ">i2", (_DIGITS,)),
        ]
    layout += [("label_bytes", ">i4"), *([("label", f"S{len(word)}")] if word else [])]
    rows = np.zeros(len(ids), dtype=np.dtype(layout))
    rows["fields"], rows["run_bytes"], rows["id_bytes"] = 5, 8, 8
    rows["run"], rows["id"] = run_id, ids
    rows["key_bytes"], rows["key"] = len(told), told
    rows["number_bytes"] = -1 if numbers is None else number_bytes
    rows["label_bytes"] = -1 if label is None else len(word)
    if word:
        rows["label"] = word
    if numbers is not None:
        _write_numbers(rows, numbers)
    return rows


def _write_numbers(rows: NDArray[Any], numbers: NDArray[np.float64]) -> None:
    left = np.rint(np.abs(numbers) * _BASE).astype(np.int64)
    rows["sign"] = np.where((numbers < 0) & (left > 0), 0x4000, 0)
    rows["ndigits"], rows["weight"], rows["scale"] = _DIGITS, _DIGITS - 2, 4
    for place in range(_DIGITS - 1, -1, -1):
        left, rows["digits"][:, place] = np.divmod(left, _BASE)
