"""From messages whose people are resolved to the rows that are stored of them.

What a message may say is in `cdp.ingestion.wire`; how rows are written is in `cdp.profiles.store`.
"""

from collections.abc import Mapping, Sequence

from cdp.identity.normalise import ANONYMOUS_ID
from cdp.identity.services import Resolved
from cdp.ingestion.wire import TRAIT_KEY_LIMIT, Message
from cdp.profiles import catalogue
from cdp.profiles.models import EventType, Identifier
from cdp.profiles.orders import NO_RATE
from cdp.profiles.rates import Converter
from cdp.profiles.store import EventRow, TraitRow
from consent.hearing import Heard
from consent.signals.gpc import BrowserSignal
from consent.signals.meaning import of_browser
from consent.signals.strings import Kind, Told

# What somebody does on a site or in an app; servers send the first of them, too, but nobody visits a server.
OPTED_OUT = Told(of_browser(BrowserSignal(opts_out=True)), of_browser(BrowserSignal(opts_out=True)))
VISITS = frozenset({EventType.TRACK, EventType.PAGE, EventType.SCREEN})


def event_rows(
    messages: Sequence[Message], people: Resolved, names: Mapping[str, int], convert: Converter
) -> list[EventRow]:
    """One row a message; who it is about has been resolved."""
    rows: list[EventRow] = []
    convert.learn((m.currency, m.occurred_at.date()) for m in messages if m.currency is not None)
    for message, profile_id, identifier_id, flags in zip(
        messages, people.profile_ids, people.identifier_ids, people.flags, strict=True
    ):
        value = None
        if message.amount is not None:
            value = convert(message.amount, message.currency, message.occurred_at.date())
            if value is None:
                flags = [*flags, NO_RATE]
        flags = [*message.flags, *flags]
        rows.append(
            EventRow(
                occurred_at=message.occurred_at,
                profile_id=profile_id,
                identifier_id=identifier_id,
                name_id=names[message.name],
                type=int(message.type),
                message_id=message.message_id,
                source_id=message.source_id,
                received_at=message.received_at,
                sent_at=message.sent_at,
                original_timestamp=message.original_timestamp,
                amount=message.amount,
                currency=message.currency,
                value=value,
                properties=message.properties,
                context=message.context,
                flags=flags or None,
                order_key=message.order_key,
                from_device=not message.is_trusted and message.type in VISITS,
            )
        )
    return rows


def trait_rows(messages: Sequence[Message], people: Resolved) -> list[TraitRow]:
    """One row for each trait that a message speaks of and the catalogue has room for."""
    said = [
        (message, profile_id, key, raw)
        for message, profile_id in zip(messages, people.profile_ids, strict=True)
        for key, raw in message.traits.items()
        if 0 < len(key) <= TRAIT_KEY_LIMIT
    ]
    values = {key: raw for _, _, key, raw in said if raw is not None}
    numbers = catalogue.trait_ids({key: values.get(key) for _, _, key, _ in said})
    return [
        TraitRow(
            profile_id=profile_id,
            trait_id=numbers[key],
            key=key,
            raw=raw,
            occurred_at=message.occurred_at,
            message_id=message.message_id,
            source_id=message.source_id,
        )
        for message, profile_id, key, raw in said
        if key in numbers
    ]


def heard(messages: Sequence[Message], profile_ids: Sequence[int], identifier_ids: Sequence[int]) -> list[Heard]:
    """What browsers and consent strings say with these messages, each by the device that said it.

    A device is known by its anonymous id; where a message has none, by whatever it has.
    """
    speaking = [number for number, one in enumerate(messages) if one.opts_out or one.consent_strings]
    if not speaking:
        return []
    anonymous = {
        number: one.value
        for number in speaking
        for one in messages[number].identifiers
        if one.namespace == ANONYMOUS_ID
    }
    rows = Identifier.objects.filter(namespace=ANONYMOUS_ID, value__in=set(anonymous.values()))
    ids = dict(rows.values_list("value", "pk"))
    found: list[Heard] = []
    for number in speaking:
        message = messages[number]
        device_id = ids.get(anonymous.get(number, ""), identifier_ids[number])
        signals = [(Kind.GPC, "1", OPTED_OUT)] if message.opts_out else []
        signals += [(one.kind, one.text, one.told) for one in message.consent_strings]
        found += [
            Heard(
                profile_id=profile_ids[number],
                device_id=device_id,
                is_trusted=message.is_trusted,
                kind=kind,
                text=text,
                told=told,
                at=min(message.occurred_at, message.received_at),
                source_id=message.source_id,
                message_id=message.message_id,
            )
            for kind, text, told in signals
        ]
    return found
