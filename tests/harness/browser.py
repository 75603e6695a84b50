"""Which Chromium the browser tests use; as a command it prints the path, after installing one if it may.

    python -m tests.harness.browser

How a page is driven belongs in tests/browser.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC_PATHS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
HOW = "no Chromium found: install chromium or Google Chrome, or set CHROMIUM to one's path"


def find_chromium() -> str | None:
    """Path of a Chromium: the one CHROMIUM names, else the first that is installed."""
    if named := os.environ.get("CHROMIUM"):
        return shutil.which(named)
    found = (shutil.which(name) for name in NAMES)
    return next((path for path in [*found, *MAC_PATHS] if path and Path(path).exists()), None)


def main() -> int:
    path = find_chromium()
    if path is None and os.geteuid() == 0 and shutil.which("apt-get") and not os.environ.get("CHROMIUM"):
        print("* installing chromium with apt", file=sys.stderr)
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for step in (["update", "-q"], ["install", "-yq", "--no-install-recommends", "chromium"]):
            subprocess.run(["apt-get", *step], check=False, stdout=subprocess.DEVNULL, env=environ)
        path = find_chromium()
    if path is None:
        print(f"error: {HOW}", file=sys.stderr)
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
