"""By which day a person's request must be answered. Who answers it, and what they have done, is known elsewhere.

Months are counted as Regulation (EEC, Euratom) No 1182/71 counts them, Art. 3: the day of receipt isn't counted, so the period
ends on the same date of a later month, or on that month's last day if it has no such date (3(2)(c)); where the law says
so, an end on a Saturday or Sunday moves to Monday (3(4)). Public holidays are not known here: one that would move the
end moves nothing, and one among business days counts as one of them. Both make the day earlier than it need be, never later.
"""

import calendar
from datetime import date, timedelta
from typing import Final

from consent.law.terms import Clock, Law, LawError, Period, Right, Unit, Weekend

_ONE_DAY: Final = timedelta(days=1)
_SATURDAY: Final = 5


def due(law: Law, right: Right, received_on: date, extended: bool = False) -> date:
    """The last day on which the request is answered in time: the first of them, where several laws may apply.

    Raises:
        LawError: `no_such_right` if the law doesn't give it, `no_extension` if the time can't be extended,
            `beyond_the_calendar` if the day has no date.
    """
    clocks = _clocks(law, right)
    if extended and not extendable(law, right):
        raise LawError("no_extension", f"the time for {right} can't be extended under {law.name}")
    return min(_end(clock, received_on, extended) for clock in clocks)


def extendable(law: Law, right: Right) -> bool:
    """Whether the time to answer may be extended: under each law that may apply."""
    return all(clock.extension is not None for clock in _clocks(law, right))


def acknowledge_by(law: Law, right: Right, received_on: date) -> date | None:
    """The last day on which receipt is confirmed in time; None where no law asks for that.

    Raises:
        LawError: `no_such_right` if the law doesn't give the right.
    """
    periods = [clock.acknowledge for clock in _clocks(law, right) if clock.acknowledge is not None]
    return min((_after(received_on, period) for period in periods), default=None)


def _clocks(law: Law, right: Right) -> tuple[Clock, ...]:
    clocks = law.rights[right].value
    if not clocks:
        raise LawError("no_such_right", f"{law.name} gives no right of {right}, so it sets no time for it")
    return clocks


def _end(clock: Clock, received_on: date, extended: bool) -> date:
    end = _after(received_on, clock.within)
    if extended and clock.extension is not None:
        ends = [_after(end, clock.extension)]
        if clock.extension.unit is clock.within.unit:
            # Of 31 January, three months end on 30 April, but one month and then two more on 28 April. Laws don't
            # say which; the earlier is right either way.
            ends.append(_after(received_on, Period(clock.within.count + clock.extension.count, clock.within.unit)))
        end = min(ends)
    return _next_working_day(end) if clock.weekend is Weekend.NEXT_WORKING_DAY else end


def _after(day: date, period: Period) -> date:
    try:
        match period.unit:
            case Unit.MONTHS:
                return _months_after(day, period.count)
            case Unit.DAYS:
                return day + timedelta(days=period.count)
            case Unit.BUSINESS_DAYS:
                return _business_days_after(day, period.count)
    except (OverflowError, ValueError) as error:
        raise LawError("beyond_the_calendar", f"{period} after {day} is beyond the calendar") from error


def _months_after(day: date, months: int) -> date:
    years, month = divmod(day.month - 1 + months, 12)
    year = day.year + years
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def _business_days_after(day: date, count: int) -> date:
    # Mondays to Fridays; the day itself isn't counted, whichever it is.
    for _ in range(count):
        day += _ONE_DAY
        while day.weekday() >= _SATURDAY:
            day += _ONE_DAY
    return day


def _next_working_day(day: date) -> date:
    try:
        while day.weekday() >= _SATURDAY:
            day += _ONE_DAY
    except OverflowError as error:
        raise LawError("beyond_the_calendar", "the next working day is beyond the calendar") from error
    return day
