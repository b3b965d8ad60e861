"""The URL of a server, option by option; and the first commands on a connection."""

from __future__ import annotations

from collections.abc import Callable
from traceback import format_exception
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccs._core.names.server_url import Endpoint, Tls, parse_endpoint
from ccs._core.names.target import parse_target, with_credentials
from ccs._protocol.faults import dial_fault
from ccs._protocol.greeting import Greeting
from ccs._protocol.replies import ServerError, pack
from ccs.errors import Forbidden, InvalidValue, Unavailable, UnsafeServer

SECRET = "tops3cret"
INFO = b"# Server\r\nvalkey_version:9.1.2\r\nmaxmemory_policy:noeviction\r\n"
secrets = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


# URLs.


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("redis://", Endpoint()),
        ("redis://box", Endpoint(host="box")),
        ("redis://:7000", Endpoint(port=7000)),
        ("redis://box:7000/3", Endpoint(host="box", port=7000, db=3)),
        ("redis://box/3/", Endpoint(host="box", db=3)),
        ("redis://box/3?db=4", Endpoint(host="box", db=4)),
        ("redis://[::1]:7000", Endpoint(host="::1", port=7000)),
        ("redis://[fe80::1%25eth0]", Endpoint(host="fe80::1%eth0")),
        ("redis://:pw@box", Endpoint(host="box", password="pw")),
        ("redis://ann@box", Endpoint(host="box", user="ann")),
        ("redis://a%40b:p%2Fw@box", Endpoint(host="box", user="a@b", password="p/w")),
        ("redis://box?username=ann&password=p%2Fw", Endpoint(host="box", user="ann", password="p/w")),
        ("redis://bob:right@box?username=ann&password=wrong", Endpoint(host="box", user="bob", password="right")),
        ("redis://box?client_name=a-1", Endpoint(host="box", name="a-1")),
        ("redis://box?socket_keepalive=No", Endpoint(host="box", keepalive=False)),
        ("redis://box?socket_connect_timeout=0.5", Endpoint(host="box", connect_timeout=0.5)),
        ("redis://box?max_connections=5&protocol=3&retry_on_timeout=true&timeout=1", Endpoint(host="box")),
        ("unix:///run/my%20s?db=2", Endpoint(path="/run/my s", db=2)),
        ("unix://ann:pw@/run/s", Endpoint(path="/run/s", user="ann", password="pw")),
        ("rediss://box", Endpoint(host="box", tls=Tls())),
        (
            "rediss://box?ssl_ca_certs=/ca&ssl_ca_path=/cas&ssl_certfile=/c&ssl_keyfile=/k&ssl_password=pw",
            Endpoint(host="box", tls=Tls(ca_file="/ca", ca_path="/cas", certificate="/c", key="/k", key_password="pw")),
        ),
        (
            "rediss://box?ssl_cert_reqs=none&ssl_check_hostname=false&ssl_min_version=772&ssl_ciphers=HIGH",
            Endpoint(host="box", tls=Tls(verify="none", check_hostname=False, oldest=772, ciphers="HIGH")),
        ),
        (
            "rediss://box?ssl_include_verify_flags=[VERIFY_X509_STRICT,%20VERIFY_CRL_CHECK_LEAF]",
            Endpoint(host="box", tls=Tls(flags=("VERIFY_X509_STRICT", "VERIFY_CRL_CHECK_LEAF"))),
        ),
    ],
)  # fmt: skip
def test_a_url_says_where_a_server_is_and_how_to_greet_it(url: str, wanted: Endpoint) -> None:
    assert parse_endpoint(url) == wanted


@given(secrets, secrets)
def test_any_user_and_password_can_be_percent_encoded(user: str, password: str) -> None:
    found = parse_endpoint(f"redis://{quote(user, safe='')}:{quote(password, safe='')}@box")
    asked = parse_endpoint(f"redis://box?{urlencode({'username': user, 'password': password})}")
    assert found.credentials == asked.credentials == (user, password)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("nonsense=1", "nonsense"),
        ("host=elsewhere", "host"),
        ("db=-1", "db"),
        ("db=x", "db"),
        ("db=", "db"),
        ("db=1&db=2", "twice"),
        ("socket_keepalive=perhaps", "socket_keepalive"),
        ("socket_connect_timeout=0", "socket_connect_timeout"),
        ("socket_connect_timeout=nan", "socket_connect_timeout"),
        ("socket_connect_timeout=soon", "socket_connect_timeout"),
        ("client_name=a%20b", "client_name"),
        ("client_name=a%0D%0AFLUSHALL", "client_name"),
        ("password=a%00b", "NUL"),
        ("ssl_ca_certs=/ca", "rediss://"),
        (f"{SECRET}=1", "one of its options"),
    ],
)
def test_an_invalid_option_is_refused_by_its_name(options: str, named: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_target(f"redis://:{SECRET}@box?{options}")
    assert named in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("ssl_cert_reqs=maybe", "ssl_cert_reqs"),
        ("ssl_check_hostname=maybe", "ssl_check_hostname"),
        ("ssl_min_version=12", "ssl_min_version"),
        ("ssl_include_verify_flags=[STRICT]", "ssl_include_verify_flags"),
        ("ssl_validate_ocsp=true", "OCSP"),
        ("ssl_ocsp_expected_cert=x", "OCSP"),
        ("ssl_sloppy=1", "ssl_sloppy"),
    ],
)
def test_an_invalid_option_of_tls_is_refused_by_its_name(options: str, named: str) -> None:
    with pytest.raises(InvalidValue, match=named):
        parse_endpoint(f"rediss://box?{options}")


@pytest.mark.parametrize("host", ["a..b", "a" * 64, "a%00b"])
def test_an_invalid_host_is_refused(host: str) -> None:
    with pytest.raises(InvalidValue, match="host"):
        parse_endpoint(f"redis://{host}")


@pytest.mark.parametrize(
    ("url", "named"),
    [
        (f"redis://ann:\udc80{SECRET}@box", "password"),
        ("redis://ann\ud800@box", "user"),
        (f"redis://box?password={SECRET}\ud800", "password"),
        (f"rediss://box?ssl_password={SECRET}\ud800", "ssl_password"),
        ("unix:///tmp/\ud800", "path"),
    ],
)
def test_what_utf_8_cannot_carry_is_refused_without_a_secret(url: str, named: str) -> None:
    """Given bytes that are no UTF-8 in the environment, which Python reads as lone surrogates."""
    with pytest.raises(InvalidValue, match=f"{named} in the URL holds a lone surrogate") as caught:
        parse_target(url)
    assert SECRET not in repr(caught.value) + "".join(format_exception(caught.value))


def test_the_name_of_a_file_may_have_bytes_that_are_no_utf_8() -> None:
    assert parse_endpoint("unix:///tmp/\udc80").path == "/tmp/\udc80"


@pytest.mark.parametrize(
    "url", [f"redis://ann:{SECRET}@box", f"redis://box?password={SECRET}", f"rediss://box?ssl_password={SECRET}"]
)
def test_no_repr_shows_a_secret(url: str) -> None:
    target = parse_target(url)
    assert SECRET not in repr(target) + repr(target.endpoint) + repr(target.endpoint.tls)


# Credential providers.


class Provider:
    def get_credentials(self) -> tuple[str, str]:
        return "ann", SECRET


@pytest.mark.parametrize(
    ("target", "provider"),
    [("./brain", Provider()), ("memory://", Provider()), (f"redis://:{SECRET}@box", Provider()), ("redis://", SECRET)],
)
def test_an_invalid_credential_provider_is_refused(target: str, provider: object) -> None:
    with pytest.raises(InvalidValue) as caught:
        with_credentials(parse_target(target), provider)
    assert SECRET not in str(caught.value)


# The greeting.


@pytest.mark.parametrize(
    ("endpoint", "credentials", "commands"),
    [
        (Endpoint(), (), []),
        (Endpoint(), ("pw",), [("AUTH", "pw")]),
        (
            Endpoint(db=3, name="me"),
            ("ann", "pw"),
            [("AUTH", "ann", "pw"), ("SELECT", "3"), ("CLIENT", "SETNAME", "me")],
        ),
    ],
)
def test_a_server_is_greeted_in_one_round_trip(
    endpoint: Endpoint, credentials: tuple[str, ...], commands: list[tuple[str, ...]]
) -> None:
    greeting = Greeting(endpoint, credentials, "redis://box")
    assert greeting.packed == b"".join(map(pack, [*commands, ("INFO", "all")]))
    assert [greeting.take(b"OK") for _ in commands] == [False] * len(commands)
    assert greeting.take(INFO)


def second_reply(reply: object) -> Callable[[], object]:
    greeting = Greeting(Endpoint(), ("pw",), "redis://box")
    greeting.take(b"OK")
    return lambda: greeting.take(reply)


def test_an_unfit_server_is_detected_by_its_replies() -> None:
    with pytest.raises(Unavailable, match="no Redis"):
        Greeting(Endpoint(), ("pw",), "redis://box").take(b"hello")
    with pytest.raises(Unavailable, match="no Redis"):
        second_reply(b"OK")()
    with pytest.raises(UnsafeServer):
        second_reply(INFO.replace(b"noeviction", b"allkeys-lru"))()
    with pytest.raises(ServerError):
        second_reply(ServerError("NOAUTH Authentication required."))()


@pytest.mark.parametrize(
    ("text", "passes", "said"),
    [
        ("LOADING Valkey is loading the dataset in memory", True, "loading the dataset"),
        ("ERR max number of clients reached", True, "max number of clients"),
        ("MASTERDOWN Link with MASTER is down", True, "MASTERDOWN"),
        ("WRONGPASS invalid username-password pair or user is disabled.", False, "it refuses us: WRONGPASS"),
        ("NOPERM User ann has no permissions to run the 'info' command", False, "INFO"),
        ("NOAUTH Authentication required.", False, "it refuses us: NOAUTH"),
        ("ERR DB index is out of range", False, "it refuses to begin: DB index"),
        ("ERR AUTH <password> called without any password configured", False, "it refuses to begin: AUTH"),
    ],
)
def test_an_error_in_reply_to_the_greeting_is_retried_or_raised(text: str, passes: bool, said: str) -> None:
    fault = dial_fault(ServerError(text), "redis://box", "ann")
    assert said in str(fault)
    assert isinstance(fault, (Forbidden, Unavailable)) != passes
    assert isinstance(fault, Forbidden) == text.startswith("NOPERM")
