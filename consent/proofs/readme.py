"""What a bundle says of itself, to somebody who has to decide by it. Pure."""

from typing import Final

README: Final = """\
PROOF OF A CONSENT

What is claimed
    {claim}

What lies in this bundle
    claim.json        the claim, as a program reads it
    records.json      every decision on record of this person for this purpose, each with two clocks: when the person
                      decided (collected_at), and when it was learned (recorded_at)
    notices/          the words that were shown, byte for byte; each file is named by the SHA-256 of its bytes
    served.json       when and where those words were shown
    stops.json        each time all use, or use of this kind, was halted for this person whatever they had decided
                      (restriction, GDPR Art. 18; objection, Art. 21), and from when till when
    entries/          the entry of the audit log for each decision and stop, byte for byte as it was signed
    proofs.json       for each entry the path of hashes that leads from it to the root that was signed
    checkpoint.txt    how many entries the log had, and their root, signed by the keeper of the log
    keys.txt          the public keys; compare them with those you were given by another way
{anchored}    check.py          a program that checks all this, with the three that lie beside it:
    held.py           what held, worked out from records and stops
    verify.py         the program that checks a whole log
    ed25519.py        checks signatures where Python's package `cryptography` isn't installed
    MANIFEST.txt      the SHA-256 of each of these files, signed

How to check it without us
    You need Python 3.11 or newer, and nothing else. Unpack the bundle into an empty folder, and in that folder:

        python3 -I check.py

    It prints VALID and what held on that date, or names each file that isn't right. The programs are published with the
    source of the platform (in cdp/audit: check_proof.py, check_held.py, verify.py, ed25519.py): whoever doubts these takes
    those, renamed as here, and names the bundle: python3 -I check.py BUNDLE.zip
    With the public key from another hand, and a checkpoint that you or somebody you trust kept:

        python3 -I check.py --key KEYS --checkpoint SAVED

    Without any program: `sha256sum` of a file in notices/ must give its name, and so must the SHA-256 that the entry of
    the decision states as "notice".

What it shows
    That each decision and each stop was written into the log as it stands here, with these words, before the checkpoint
    was signed, and that nothing of it was changed since.

What it doesn't show
    That a decision was true when it was written down: whoever brought it vouches for that, and method and source say who.
    That nothing else is on record: a bundle holds what concerns this person and purpose. Whether something was left out,
    an export of the whole log shows, which verify.py checks.
    That the log wasn't made anew by whoever holds its key and its database, back to the last checkpoint that was anchored
    elsewhere or kept by you.
    The page on which words were shown (place in served.json): the log keeps the moment and the words, not the address.
    How the purpose was set up at that moment: basis, mode and whether it covers profiling are those of today; the audit
    log has each change.
"""
ANCHORED: Final = """\
    anchored.txt      an earlier checkpoint that was put where the keeper of the database can't change it
    consistency.json  the hashes that show that the log goes on from it
"""


def readme(*, claim: str, is_anchored: bool) -> str:
    return README.format(claim=claim, anchored=ANCHORED if is_anchored else "")
