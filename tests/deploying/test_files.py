"""The files in docs/deploy parse, and a server with the settings in them is one that CCS accepts."""

from __future__ import annotations

import configparser
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import ccs
from tests.support.servers import PrivateServer, binary_of

FOLDER = Path(__file__).parents[2] / "docs" / "deploy"
PASSWORD = "secret"
OF_THE_PLACE = {"dir", "bind", "port"}

Settings = dict[str, str]


def of_compose() -> Settings:
    (service,) = parsed("compose.yaml")["services"].values()
    program, *options = service["command"]
    assert program == "valkey-server"
    assert service["volumes"] == ["data:/data"]
    return as_settings([re.sub(r"\$\{CCS_PASSWORD:\?[^}]*\}", PASSWORD, option) for option in options])


def of_helm() -> Settings:
    lines = parsed("helm-values.yaml")["valkeyConfig"].splitlines()
    return {name: "".join(shlex.split(value)) for name, _, value in (line.partition(" ") for line in lines)}


def of_systemd() -> Settings:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment]
    unit.read_string((FOLDER / "valkey.service").read_text().replace("\\\n", " "))
    assert unit["Service"]["StateDirectory"] in unit["Service"]["ExecStart"]
    program, *options = shlex.split(unit["Service"]["ExecStart"])
    assert program == "/usr/bin/valkey-server"
    return as_settings(options)


def parsed(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text())


def as_settings(options: list[str]) -> Settings:
    names, values = options[::2], options[1::2]
    assert all(name.startswith("--") for name in names)
    return dict(zip((name.removeprefix("--") for name in names), values, strict=True))


FILES: dict[str, Callable[[], Settings]] = {"compose": of_compose, "helm": of_helm, "systemd": of_systemd}


class Deployed(PrivateServer):
    """A server with such settings and no others, but on a port and in a folder of the test."""

    def __init__(self, kind: str, folder: Path, settings: Settings) -> None:
        super().__init__(binary_of(kind), folder)
        self.settings = {name: value for name, value in settings.items() if name not in OF_THE_PLACE}

    def command(self) -> list[str]:
        own = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.folder)}
        return [
            self.binary,
            *(word for name, value in {**self.settings, **own}.items() for word in (f"--{name}", value)),
        ]


@pytest.mark.parametrize("kind", ["valkey", "redis"])
@pytest.mark.parametrize("file", FILES)
def test_a_server_with_these_settings_is_accepted_and_keeps_what_it_has(file: str, kind: str, tmp_path: Path) -> None:
    server = Deployed(kind, tmp_path, FILES[file]()).start()
    login = f":{PASSWORD}@" if "requirepass" in server.settings else ""
    url = server.url.replace("//", f"//{login}")
    try:
        with ccs.connect(url) as store:
            store.task("t").set("a", 1)
        server.stop()
        server.start()
        with ccs.connect(url) as store:
            assert store.task("t").get("a") == 1
    finally:
        server.kill()


def test_all_files_have_the_same_settings() -> None:
    found = [{name: value for name, value in of().items() if name not in OF_THE_PLACE} for of in FILES.values()]
    assert [{**settings, "requirepass": ""} for settings in found] == [{**found[0], "requirepass": ""}] * 3


def test_a_server_with_these_settings_that_may_evict_is_refused(tmp_path: Path) -> None:
    server = Deployed("valkey", tmp_path, {**of_systemd(), "maxmemory-policy": "allkeys-lru"}).start()
    try:
        with pytest.raises(ccs.UnsafeServer, match="allkeys-lru"), ccs.connect(server.url) as store:
            store.task("t").set("a", 1)
    finally:
        server.kill()
