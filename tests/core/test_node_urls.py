"""URLs of several nodes: a Cluster by its seeds, and a primary by its Sentinels."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ccs._core.names.server_url import Endpoint, Tls
from ccs._core.names.target import Target, parse_target, with_credentials
from ccs.errors import InvalidValue

SECRET = "tops3cret"
SCHEMES = {"redis": None, "rediss": Tls(), "valkey": None, "valkeys": Tls()}
FORMS = {"cluster": "host:port,host:port", "sentinel": "host:port,host:port/name-of-primary/0"}

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
hosts = st.sampled_from(["box", "10.0.0.1", "a-b.example.org", "[::1]", "[2001:db8::7]"])
ports = st.integers(1, 65535)
nodes = st.lists(st.tuples(hosts, ports | st.none()), min_size=1, max_size=5)


def netloc(places: list[tuple[str, int | None]]) -> str:
    return ",".join(host if port is None else f"{host}:{port}" for host, port in places)


def endpoints(places: list[tuple[str, int | None]], port: int, common: Endpoint) -> tuple[Endpoint, ...]:
    return tuple(replace(common, host=host.strip("[]"), port=given or port) for host, given in places)


def shown(target: Target) -> str:
    return f"{target.address} {target!r} {target.seeds!r} {target.user}"


def outcome(url: str) -> str:
    try:
        return shown(parse_target(url))
    except InvalidValue as error:
        return f"{error} {error!r}"


# A Cluster.


@given(st.sampled_from([*SCHEMES]), nodes, texts, texts)
def test_each_node_of_a_cluster_has_the_login_and_tls_of_the_url(
    scheme: str, places: list[tuple[str, int | None]], user: str, password: str
) -> None:
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    target = parse_target(f"{scheme}+cluster://{login}@{netloc(places)}")
    common = Endpoint(user=user, password=password, tls=SCHEMES[scheme])
    assert (target.kind, target.seeds) == ("cluster", endpoints(places, 6379, common))
    assert target.endpoint == target.seeds[0]
    assert target.address == f"{scheme}+cluster://{netloc(places)}"


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("redis+cluster://", [Endpoint()]),
        ("redis+cluster://:7000,:7001", [Endpoint(port=7000), Endpoint(port=7001)]),
        ("REDIS+Cluster://box/", [Endpoint(host="box")]),
        ("redis+cluster://box/0?db=0", [Endpoint(host="box")]),
        ("redis+cluster://ann@a,b", [Endpoint(host="a", user="ann"), Endpoint(host="b", user="ann")]),
        (
            "redis+cluster://a,b?password=p%2Cw&client_name=me&socket_connect_timeout=2",
            [Endpoint(host=host, password="p,w", name="me", connect_timeout=2.0) for host in "ab"],
        ),
        ("rediss+cluster://a?ssl_ca_certs=/ca", [Endpoint(host="a", tls=Tls(ca_file="/ca"))]),
    ],
)
def test_the_url_of_a_cluster_has_the_options_of_a_server(url: str, wanted: list[Endpoint]) -> None:
    assert parse_target(url).seeds == tuple(wanted)


@pytest.mark.parametrize("url", ["redis+cluster://box/3", "redis+cluster://a,b/0?db=3"])
def test_a_cluster_has_no_database_but_0(url: str) -> None:
    with pytest.raises(InvalidValue, match="a Cluster has no database 3"):
        parse_target(url)


# Sentinels.


@given(st.sampled_from([*SCHEMES]), nodes, texts, st.integers(0, 99) | st.none(), texts, texts)
@example("redis", [("box", None)], "a/b@c:d,e", 0, "u", "p")
def test_sentinels_and_the_primary_have_logins_of_their_own(
    scheme: str, places: list[tuple[str, int | None]], primary: str, db: int | None, user: str, password: str
) -> None:
    name = quote(primary, safe="")
    path = f"/{name}" + ("" if db is None else f"/{db}")
    options = urlencode({"sentinel_username": user, "sentinel_password": password, "client_name": "me"})
    url = f"{scheme}+sentinel://ann:{SECRET}@{netloc(places)}{path}?{options}"
    if not primary.isprintable():
        with pytest.raises(InvalidValue, match="name of the primary"):
            parse_target(url)
        return
    target = parse_target(url)
    tls = SCHEMES[scheme]
    assert (target.kind, target.primary) == ("sentinel", primary)
    assert target.seeds == endpoints(places, 26379, Endpoint(user=user, password=password, name="me", tls=tls))
    assert target.endpoint == Endpoint(host="", port=0, user="ann", password=SECRET, db=db or 0, name="me", tls=tls)
    assert target.address == f"{scheme}+sentinel://{netloc(places)}{path}"
    assert SECRET not in shown(target)


@pytest.mark.parametrize(
    ("url", "primary", "db"),
    [
        ("redis+sentinel:///main", "main", 0),
        ("redis+sentinel://box/main/", "main", 0),
        ("redis+sentinel://box/main/3/", "main", 3),
        ("redis+sentinel://box/main/3?db=4", "main", 4),
        ("redis+sentinel://box/my%20main", "my main", 0),
    ],
)
def test_the_url_of_sentinels_names_the_primary_and_its_database(url: str, primary: str, db: int) -> None:
    target = parse_target(url)
    assert (target.primary, target.endpoint.db, target.seeds[0].db) == (primary, db, 0)
    assert target.address == url


def test_the_address_keeps_the_database_and_no_other_option() -> None:
    url = f"redis+sentinel://box/main?db=4&password={SECRET}&sentinel_password={SECRET}&socket_timeout=1"
    assert parse_target(url).address == "redis+sentinel://box/main?db=4"
    assert SECRET not in shown(parse_target(url))


def test_no_connection_can_be_made_to_the_primary_before_sentinels_have_said_where_it_is() -> None:
    endpoint = parse_target("redis+sentinel://box/main").endpoint
    assert (endpoint.host, endpoint.port) == ("", 0)


# What does not parse.


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    "rest",
    [
        "a,,b",
        "a,",
        ",a",
        ",",
        "a, b",
        "a:0",
        "a,b:65536",
        "a:7000:7001",
        "::1",
        "[::1",
        "[::1]x",
        "[nonsense]",
        "a#b",
        f"u:{SECRET}@a,u:{SECRET}@b",
        f"u:{SECRET}/x@a",
        f"u:1/{SECRET}@a",
        f"u:{SECRET}?x@a",
        f"u:1?{SECRET}@a",
        f"u:{SECRET}#x@a",
        f"u:{SECRET},x@a",
        f"u:{SECRET}@x@a",
    ],
)
def test_the_error_for_a_malformed_url_says_the_form_and_not_the_secret(scheme: str, rest: str) -> None:
    for kind, form in FORMS.items():
        with pytest.raises(InvalidValue) as caught:
            parse_target(f"{scheme}+{kind}://{rest}" + ("/main" if kind == "sentinel" else ""))
        assert f"it is {scheme}+{kind}://user:password@{form}, with special" in str(caught.value)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "rest", ["", "a", "a/", "a//0", "a/main/x", "a/main/0/1", f"u:1/{SECRET}@b/main", f"u:1/{SECRET}:x"]
)
def test_the_error_for_a_url_of_sentinels_without_a_primary_says_the_form(rest: str) -> None:
    with pytest.raises(InvalidValue, match="name-of-primary") as caught:
        parse_target(f"redis+sentinel://{rest}")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", ["%FF", "%00", "a%0D%0Ab", "\x1b"])
def test_the_name_of_a_primary_is_printable_text(name: str) -> None:
    with pytest.raises(InvalidValue, match="name of the primary"):
        parse_target(f"redis+sentinel://box/{name}")


@pytest.mark.parametrize(
    ("url", "named"),
    [
        (f"redis+cluster://:{SECRET}@a,b?sentinel_password=x", "sentinel_password is not an option"),
        (f"redis://:{SECRET}@a?sentinel_username=x", "sentinel_username is not an option"),
        (f"redis+sentinel://a/m?sentinel_password={SECRET}&sentinel_password=x", "sentinel_password .* twice"),
        ("redis+sentinel://a/m?sentinel_username=%00", "sentinel_username .* NUL"),
        (f"redis+sentinel://:{SECRET}@a/m?sentinel_user=x", "sentinel_user is not .* sentinel_username, sentinel_pass"),
        (f"redis+sentinel://:{SECRET}@a/m?ssl_ca_certs=/x", "need a URL of rediss://"),
        (f"redis+cluster://:{SECRET}@a?{SECRET}=x", "one of its options"),
        (f"redis+cluster://:{SECRET}@a..b,c", "not a host name"),
        (f"redis+sentinel://:{SECRET}@c,a%00b/m", "host"),
    ],
)
def test_an_invalid_part_is_refused_by_its_name(url: str, named: str) -> None:
    with pytest.raises(InvalidValue, match=named) as caught:
        parse_target(url)
    assert SECRET not in str(caught.value)


@given(st.sampled_from([f"{scheme}+{kind}" for scheme in SCHEMES for kind in FORMS]), st.text(max_size=40))
@example("redis+cluster", "\ud800")
@example("redis+sentinel", "a/\udcff")
@example("redis+sentinel", "[\uff0f]/m")
def test_any_other_text_is_refused_with_invalid_value_alone(scheme: str, rest: str) -> None:
    try:
        target = parse_target(f"{scheme}://{rest}")
    except InvalidValue:
        return
    assert target.kind in FORMS
    assert len(target.seeds) >= 1


@given(st.text(st.sampled_from("a1:/?#[]@,%=&"), max_size=20), st.text(st.sampled_from("a1:/?#[]@,%=&"), max_size=20))
def test_neither_error_nor_address_shows_a_password_wherever_the_url_is_broken(before: str, after: str) -> None:
    for kind in FORMS:
        for scheme in ("redis", "valkeys"):
            assert SECRET not in outcome(f"{scheme}+{kind}://{before}user:{SECRET}{after}@box/main")


@pytest.mark.parametrize("text", ["redis+cluster:/box", "valkeys+sentinel//box", "rediss+sentinel:box/main"])
def test_the_error_for_a_slip_of_such_a_url_says_its_form(text: str) -> None:
    scheme, kind = text.replace("/", ":").split(":")[0].split("+")
    with pytest.raises(InvalidValue) as caught:
        parse_target(text)
    assert f"write {scheme}+{kind}://user:password@{FORMS[kind]}, or ./" in str(caught.value)


@pytest.mark.parametrize("rest", ["a,b", f":{SECRET}@a:1,b:2/3", f"u:{SECRET},x/y@a"])
def test_several_hosts_in_the_url_of_a_server_are_refused_with_the_form_of_a_cluster(rest: str) -> None:
    with pytest.raises(InvalidValue, match=r"several nodes it is rediss\+cluster://user:password@host") as caught:
        parse_target(f"rediss://{rest}")
    assert SECRET not in str(caught.value)


def test_a_comma_in_the_password_of_a_server_is_none_between_hosts() -> None:
    assert parse_target("redis://:a,b@box").endpoint.password == "a,b"


@pytest.mark.parametrize("scheme", ["redis+clusters", "redis+sentinel+x", "unix+cluster", "memory+sentinel", "cluster"])
def test_the_error_for_an_unknown_scheme_names_all_schemes(scheme: str) -> None:
    with pytest.raises(InvalidValue, match="is not a scheme of ccs") as caught:
        parse_target(f"{scheme}://:{SECRET}@box")
    for known in [*SCHEMES, "unix", "memory", *(f"{name}+{kind}" for name in SCHEMES for kind in FORMS)]:
        assert f" {known}://," in str(caught.value)
    assert SECRET not in str(caught.value)


# Credential providers.


class Provider:
    def get_credentials(self) -> tuple[str, str]:
        return "ann", SECRET


@pytest.mark.parametrize("url", ["redis+cluster://a,b", "redis+sentinel://a/main?sentinel_password=x"])
def test_a_credential_provider_logs_in_to_the_servers_of_both(url: str) -> None:
    provider = Provider()
    target = with_credentials(parse_target(url), provider)
    assert target.credentials is provider
    assert target.user == "the credential provider's"
    assert replace(target, credentials=None) == parse_target(url)


@pytest.mark.parametrize("url", [f"redis+cluster://:{SECRET}@a,b", f"redis+sentinel://:{SECRET}@a/main"])
def test_a_provider_beside_a_login_is_refused(url: str) -> None:
    with pytest.raises(InvalidValue, match="leave one of them out") as caught:
        with_credentials(parse_target(url), Provider())
    assert SECRET not in str(caught.value)
