"""Addresses are read strictly, looked up once, and refused where they are not public."""

from __future__ import annotations

import pytest

from fingerprint.errors import EnvironmentFailure, InputRefused, UsageError
from fingerprint.suspects.endpoints.address import is_public, look_up, parse_address, reachable_at

PUBLIC = ("93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c")
PRIVATE = (
    *("127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.9.9", "169.254.169.254", "100.100.100.200"),
    *("0.0.0.0", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1"),
    *("::1", "::", "fe80::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1"),
    # IPv4 in other clothes: mapped, compatible, 6to4, NAT64, Teredo.
    *("::ffff:169.254.169.254", "::ffff:127.0.0.1", "::127.0.0.1", "2002:7f00:1::"),
    *("64:ff9b::a9fe:a9fe", "2001:0:7f00:1::"),
)


@pytest.mark.parametrize("address", [*PUBLIC, "::ffff:93.184.215.14"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_whatever_is_inside_some_network_is_not_public_however_it_is_written(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("https://Models.Example/v2/models/a", "https://models.example/v2/models/a"),
        ("https://models.example:8443", "https://models.example:8443/"),
        ("https://models.example:443/x y", "https://models.example/x%20y"),
        ("http://[::1]:80/a", "http://[::1]/a"),
        ("https://münchen.example/", "https://xn--mnchen-3ya.example/"),
    ],
)
def test_an_address_is_read_into_its_parts(text: str, read: str) -> None:
    assert str(parse_address(text)) == read


@pytest.mark.parametrize(
    "text", ["file:///etc/passwd", "ftp://host/", "https://", "://", "gopher://host", "https://[x"]
)
def test_other_schemes_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"https://"):
        parse_address(text)


@pytest.mark.parametrize(
    "text", ["https://me:secret@host/", "https://host/?key=secret", "https://host/#secret"]
)
def test_an_address_that_holds_a_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(UsageError, match="--token-env") as refused:
        parse_address(text)
    assert "secret" not in str(refused.value)


def resolving(*found: str) -> tuple[list[str], object]:
    asked: list[str] = []

    def resolve(host: str, port: int) -> tuple[str, ...]:
        asked.append(f"{host}:{port}")
        return found

    return asked, resolve


@pytest.mark.parametrize("found", [(one,) for one in PRIVATE] + [(PUBLIC[0], "127.0.0.1")])
def test_a_name_with_any_private_address_is_refused(found: tuple[str, ...]) -> None:
    asked, resolve = resolving(*found)
    with pytest.raises(InputRefused, match="expected a public address") as refused:
        reachable_at(parse_address("https://host/"), allow_private=False, resolve=resolve)  # type: ignore[arg-type]
    assert "--allow-private" in str(refused.value)
    assert asked == ["host:443"]


def test_private_addresses_are_for_who_says_so() -> None:
    _, resolve = resolving("fe80::1%eth0", "10.0.0.1")
    found = reachable_at(parse_address("http://host/"), allow_private=True, resolve=resolve)  # type: ignore[arg-type]
    assert found == ("fe80::1", "10.0.0.1")


@pytest.mark.parametrize("allowed", [False, True])
def test_plain_http_never_goes_to_a_public_address(allowed: bool) -> None:
    _, resolve = resolving(*PUBLIC)
    with pytest.raises(InputRefused, match="expected https"):
        reachable_at(parse_address("http://host/"), allow_private=allowed, resolve=resolve)  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "localhost"])
def test_a_private_address_written_as_a_name_or_number_is_refused(host: str) -> None:
    with pytest.raises((InputRefused, EnvironmentFailure)):
        reachable_at(parse_address(f"https://{host}/"), allow_private=False)


def test_a_name_without_an_address_is_an_environment_failure() -> None:
    with pytest.raises(EnvironmentFailure, match="check the name"):
        look_up("nobody.invalid", 443)
    _, resolve = resolving()
    with pytest.raises(EnvironmentFailure, match="no address"):
        reachable_at(parse_address("https://host/"), allow_private=True, resolve=resolve)  # type: ignore[arg-type]
