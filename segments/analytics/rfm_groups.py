"""The eleven named groups one begins with, over recency (R) and the mean of frequency and monetary value (FM).

Names and the order from the best to those that are gone are the field's; the cells are ours, one rectangle each, so that the table
reads from top to bottom.
"""

from typing import Final

from segments.analytics.rfm import GroupRow, Scheme

DEFAULT_GROUPS: Final = (
    GroupRow(
        name="Champions",
        r_low=4,
        r_high=5,
        fm_low=4,
        fm_high=5,
        description="Bought lately, buy often and spend the most.",
        action="Thank them, let them in first on what is new, and ask them for reviews and referrals. No discounts needed.",
    ),
    GroupRow(
        name="Loyal",
        r_low=3,
        r_high=5,
        fm_low=3,
        fm_high=5,
        description="Buy regularly, and not long ago.",
        action="Offer a loyalty programme and what goes with what they bought; ask what they would like next.",
    ),
    GroupRow(
        name="Potential loyalist",
        r_low=4,
        r_high=5,
        fm_low=2,
        fm_high=2,
        description="Bought lately, and more than the least.",
        action="Bring them to the next order: recommendations, a membership, free delivery from an amount a little above theirs.",
    ),
    GroupRow(
        name="New",
        r_low=5,
        r_high=5,
        fm_low=1,
        fm_high=1,
        description="Bought very lately, for the first time or little.",
        action="Welcome them, help them make good use of what they bought, and show what others bought second.",
    ),
    GroupRow(
        name="Promising",
        r_low=4,
        r_high=4,
        fm_low=1,
        fm_high=1,
        description="Bought lately, little so far, and the second order is due.",
        action="Remind them of you while they remember: a small reason to come back within the next weeks.",
    ),
    GroupRow(
        name="Need attention",
        r_low=2,
        r_high=3,
        fm_low=2,
        fm_high=2,
        description="Bought a little more than the least, and some time ago.",
        action="Make an offer that ends soon, based on what they bought; ask whether something went wrong.",
    ),
    GroupRow(
        name="About to sleep",
        r_low=2,
        r_high=3,
        fm_low=1,
        fm_high=1,
        description="Bought little, and not lately.",
        action="Show bestsellers and what is new since their order; one reminder, then let them rest.",
    ),
    GroupRow(
        name="At risk",
        r_low=2,
        r_high=2,
        fm_low=3,
        fm_high=5,
        description="Bought often or for much, and stay away longer than most.",
        action="Write to them personally, with what they liked and a reason to come back; find out what changed.",
    ),
    GroupRow(
        name="Can't lose",
        r_low=1,
        r_high=1,
        fm_low=4,
        fm_high=5,
        description="Were among the best, and haven't bought for the longest.",
        action="Win them back by hand: a call, a letter, your best offer. Each of them is worth more than many new ones.",
    ),
    GroupRow(
        name="Hibernating",
        r_low=1,
        r_high=1,
        fm_low=2,
        fm_high=3,
        description="Bought now and then, the last time long ago.",
        action="Cheap channels only: a seasonal reminder with what sells best.",
    ),
    GroupRow(
        name="Lost",
        r_low=1,
        r_high=1,
        fm_low=1,
        fm_high=1,
        description="Bought least, and the longest ago.",
        action="Spend nothing on them by default; try one last message, then leave them out of campaigns.",
    ),
)
DEFAULT_SCHEME: Final = Scheme(window_days=365, groups=DEFAULT_GROUPS)
