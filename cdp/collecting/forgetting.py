"""Taking rows of imports away that are of somebody who was erased: a file waits to be applied for as long as its uploader likes."""

from collections.abc import Collection
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import F

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.collecting.models import ConsentImport, ImportRow
from cdp.identity.normalise import Identifier
from cdp.identity.suppression import suppressed
from segments.list_people import PUBLIC_ID

AT_ONCE: Final = 5_000


def forget_rows(*, namespaces: Collection[str], uuids: Collection[UUID], by: Actor) -> int:
    """How many rows named suppressed identifiers, or one of these public ids, and are gone. Can be done again at any time.

    They count as rows of people who aren't known, as they would have when the file is applied.

    Args:
        namespaces: in which the people had identifiers.
    """
    waiting = ImportRow.objects.filter(namespace__in=[*namespaces, PUBLIC_ID]).order_by("pk")
    public, gone, after = {str(one) for one in uuids}, 0, 0
    while rows := list(waiting.filter(pk__gt=after).values_list("pk", "file_id", "namespace", "value")[:AT_ONCE]):
        after = rows[-1][0]
        named = {Identifier(namespace, value) for _, _, namespace, value in rows if namespace != PUBLIC_ID}
        theirs = suppressed(named) | {Identifier(PUBLIC_ID, one) for one in public}
        by_file: dict[int, list[int]] = {}
        for pk, file_id, namespace, value in rows:
            if Identifier(namespace, value) in theirs:
                by_file.setdefault(file_id, []).append(pk)
        gone += sum(_forget(file_id, found, by) for file_id, found in sorted(by_file.items()))
    return gone


@transaction.atomic
def _forget(file_id: int, rows: Collection[int], by: Actor) -> int:
    """Whoever applies some of them just now is waited for. Rows before their file, as they lock them."""
    count = ImportRow.objects.filter(pk__in=rows).delete()[0]
    if count:
        ConsentImport.objects.filter(pk=file_id).update(unknown=F("unknown") + count)
        file = ConsentImport.objects.get(pk=file_id)
        record(by=by, action="consent_import.rows_erased", object=file, detail={"rows": count})
    return count
