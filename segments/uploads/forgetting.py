"""Taking rows of files away that are of somebody who was erased: a file waits to be applied for as long as its uploader likes."""

from collections.abc import Collection
from typing import Final
from uuid import UUID

from django.db import transaction

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.identity.normalise import Identifier, Unusable, normalise
from cdp.identity.suppression import suppressed
from segments.uploads.models import ListUpload, Problem, UploadRow

AT_ONCE: Final = 2_000


def forget_upload_rows(
    *, namespaces: Collection[str], uuids: Collection[UUID], profile_ids: Collection[int], by: Actor
) -> int:
    """How many rows named suppressed identifiers in whichever column, or one of these people, and are gone. Can be done again at
    any time.

    Args:
        namespaces: in which people have identifiers.
    """
    public, people, gone, after = {str(one) for one in uuids}, set(profile_ids), 0, 0
    waiting = UploadRow.objects.order_by("pk")
    while rows := list(waiting.filter(pk__gt=after)[:AT_ONCE]):
        after = rows[-1].pk
        named = {row.pk: _named(row.cells or (), namespaces) for row in rows}
        theirs = suppressed({one for some in named.values() for one in some})
        found: dict[int, list[int]] = {}
        for row in rows:
            says = {cell.lower() for cell in row.cells or ()}
            if row.profile_id in people or named[row.pk] & theirs or says & public:
                found.setdefault(row.upload_id, []).append(row.pk)
        gone += sum(_forget(upload_id, ids, by) for upload_id, ids in sorted(found.items()))
    return gone


def _named(cells: Collection[str], namespaces: Collection[str]) -> set[Identifier]:
    """Whatever a cell could name: which column is read may still be changed."""
    found = set()
    for cell in cells:
        for namespace in namespaces if cell else ():
            try:
                found.add(normalise(namespace, cell))
            except Unusable:
                continue
    return found


@transaction.atomic
def _forget(upload_id: int, ids: Collection[int], by: Actor) -> int:
    """Whoever matches some of them just now is waited for. Rows before their file, as they lock them."""
    count = UploadRow.objects.filter(pk__in=ids).delete()[0]
    if count:
        file = ListUpload.objects.select_for_update().get(pk=upload_id)
        counts = file.problem_counts
        file.problem_counts = {**counts, Problem.ERASED: counts.get(Problem.ERASED, 0) + count}
        file.save(update_fields=["problem_counts"])
        record(by=by, action="list_upload.rows_erased", object=file, detail={"rows": count})
    return count
