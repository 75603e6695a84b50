"""Text with case and accents removed, so that every engine compares the same bytes.

Trimming, language rules and stemming don't belong here: folding only makes equal what a person reads as equal.
"""

import unicodedata


def fold(text: str) -> str:
    """The folded form of a text: "É" and "e" become "e", "Straße" becomes "strasse".

    Exactly three steps, in this order; whoever writes `text_folded` must do the same:

    1. Unicode normalisation form NFKD (compatibility decomposition);
    2. drop every code point whose canonical combining class is not 0 (`unicodedata.combining`);
    3. full Unicode case folding (`str.casefold`).

    Folding twice changes nothing more.
    """
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(c for c in decomposed if not unicodedata.combining(c)).casefold()
