"""Small files of laws for tests: a whole one that can be used, and ways to put it together with the default."""

from pathlib import Path

from consent.law import Laws
from consent.law.library import SHIPPED, assembled
from consent.law.reading import read

WHOLE = """
key = "ke-dpa"
name = "Data Protection Act (Kenya)"

[sources.act]
law = "Data Protection Act, 2019 (Kenya)"
article = "s. 1"
url = "https://example.org/act"

[[applies]]
places = ["KE"]
from = 2019-11-25
source = "act"

[[consent]]
for = ["marketing_email", "marketing_sms", "analytics_cookies", "targeted_ads", "sale", "sharing"]
model = "opt_out"
source = "act"

[[gpc]]
honour = false
source = "act"

[[guardian]]
years = 13
source = "act"

[[adult]]
years = 18
source = "act"

[[minors_opt_in]]
for = ["marketing_email", "marketing_sms", "analytics_cookies", "targeted_ads", "sale", "sharing"]
below = 0
source = "act"

[[minors_forbidden]]
for = ["marketing_email", "marketing_sms", "analytics_cookies", "targeted_ads", "sale", "sharing"]
below = 0
source = "act"

[[right]]
of = ["access", "portability", "rectification", "erasure", "restriction", "objection", "human_review"]
within = { days = 60 }
extension = { days = 30 }
source = "act"

[[right]]
of = ["opt_out_of_sale", "limit_sensitive"]
given = false
source = "act"

[[records]]
months = 0
source = "act"
"""


def together(*texts: str) -> Laws:
    """The default, and files of these texts."""
    default = read("default.toml", (SHIPPED / "default.toml").read_bytes())
    others = [read(f"{number}.toml", text.encode()) for number, text in enumerate(texts, start=1)]
    return assembled([default, *others])


def folder(at: Path, **files: str) -> Path:
    """A folder with files of these names, without their ending."""
    at.mkdir(exist_ok=True)
    for name, text in files.items():
        (at / f"{name}.toml").write_text(text, "utf-8")
    return at
