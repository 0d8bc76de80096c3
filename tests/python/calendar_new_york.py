"""The sessions of the New York exchanges from 1987 to 2030 by the rules of their holidays, with the days on which they closed besides.

From the exchanges' published rules and announcements; nothing here is shared with the service's calendar.
"""

import pandas as pd
from pandas.tseries import holiday

# Closings that no rule tells: hurricane Gloria's is older; a president's funeral, attacks, a storm.
SPECIAL = pd.to_datetime([
    "1994-04-27", "2001-09-11", "2001-09-12", "2001-09-13", "2001-09-14", "2004-06-11", "2007-01-02", "2012-10-29", "2012-10-30",
    "2018-12-05", "2025-01-09",
])  # fmt: skip


class Holidays(holiday.AbstractHolidayCalendar):
    rules = [
        # On a Saturday it is not made up for, since the Friday ends a year's accounts.
        holiday.Holiday("New Year's Day", month=1, day=1, observance=holiday.sunday_to_monday),
        holiday.Holiday("Martin Luther King", month=1, day=1, offset=pd.DateOffset(weekday=holiday.MO(3)), start_date="1998-01-01"),
        holiday.USPresidentsDay,
        holiday.GoodFriday,
        holiday.USMemorialDay,
        holiday.Holiday("Juneteenth", month=6, day=19, observance=holiday.nearest_workday, start_date="2022-01-01"),
        holiday.Holiday("Independence Day", month=7, day=4, observance=holiday.nearest_workday),
        holiday.USLaborDay,
        holiday.USThanksgivingDay,
        holiday.Holiday("Christmas", month=12, day=25, observance=holiday.nearest_workday),
    ]


def sessions(first, last):
    """The dates of the sessions from one date to another, both included."""
    days = pd.bdate_range(first, last)
    return days[~days.isin(Holidays().holidays(first, last)) & ~days.isin(SPECIAL)]
