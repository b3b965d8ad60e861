"""What docs/deploying.md says of servers holds: its program finds out whether one is fit, and the errors are as it says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import ccs
from tests.support.servers import PrivateServer
from tests.support.topologies import Cluster, Replicated, Sentinels

PAGE = (Path(__file__).parents[2] / "docs" / "deploying.md").read_text("utf-8")
TRY_OUT = next(
    code for code in re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE) if "def try_out" in code
)

Start = Callable[..., PrivateServer]

LACKING = {
    "CONFIG": None,
    "EVALSHA": (ccs.UnsafeServer, "has no command EVALSHA"),
    "INFO": (ccs.Unavailable, "unknown command 'INFO'"),
    "SCAN": (ccs.UnsafeServer, "has no command SCAN"),
    "PSUBSCRIBE": (ccs.Unavailable, "unknown command 'PSUBSCRIBE'"),
}
"""What the page says of servers without these commands: they are fit, or what the error is."""


@pytest.fixture
def try_out() -> Callable[[str], None]:
    names: dict[str, Callable[[str], None]] = {}
    exec(TRY_OUT.partition("\ntry_out(")[0], names)  # noqa: S102  the function of the page, as it stands
    return names["try_out"]


@pytest.mark.parametrize("kind", ["valkey", "redis"])
@pytest.mark.parametrize("command", LACKING)
def test_a_server_without_a_command_is_fit_or_refused_as_the_page_says(
    command: str, kind: str, try_out: Callable[[str], None], start: Start
) -> None:
    server = start("--rename-command", command, "", kind=kind)
    expected = LACKING[command]
    if expected is None:
        return try_out(server.url)
    error, text = expected
    with pytest.raises(error, match=text):
        try_out(server.url)
    assert f"`{text}`" in PAGE


def test_a_password_that_is_missing_is_told(try_out: Callable[[str], None], start: Start) -> None:
    server = start("--requirepass", "secret", kind="valkey")
    with pytest.raises(ccs.Unavailable, match="NOAUTH"):
        try_out(server.url)
    try_out(server.url.replace("//", "//:secret@"))


def test_a_cluster_is_fit_by_one_node_of_any_role_or_by_several(
    try_out: Callable[[str], None], cluster: Cluster
) -> None:
    for url in (cluster.primaries[1].url, cluster.replicas_of(cluster.primaries[0])[0].url, cluster.seeds_url):
        try_out(url)


def test_sentinels_lead_to_their_primary_and_none_of_them_is_a_server(
    try_out: Callable[[str], None], sentinels: Sentinels
) -> None:
    try_out(sentinels.url)
    with pytest.raises(ccs.UnsafeServer, match="is a Sentinel"):
        try_out(sentinels.sentinels[0].url)


def test_a_replica_is_refused(try_out: Callable[[str], None], replicated: Replicated) -> None:
    try_out(replicated.url)
    with pytest.raises(ccs.UnsafeServer, match="is a replica of"):
        try_out(replicated.replicas[0].url)


def test_a_server_that_wants_tls_is_told(try_out: Callable[[str], None], tls: int) -> None:
    """Given its plain URL, or one of TLS without its authority, then the errors are those of the page."""
    for scheme, text in (("redis", "Connection reset"), ("rediss", "certificate is not trusted")):
        with (
            pytest.raises(ccs.Unavailable, match=text),
            ccs.connect(f"{scheme}://localhost:{tls}", retry_for=0.5) as store,
        ):
            store.task("t").get("a")
        assert f"`{text}" in PAGE
