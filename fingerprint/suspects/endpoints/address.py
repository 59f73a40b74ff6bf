"""Where an endpoint is, and whether it may be asked: public, unless the caller says otherwise.

::

    address = parse_address("https://models.example/v2/models/ours")
    reachable = reachable_at(address, allow_private=False)      # ("203.0.113.7",)

A name is looked up once and every address it has is checked; connections then go to those very
addresses, so a name that is later given another one (DNS rebinding) changes nothing.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import httpx2

from fingerprint.errors import EnvironmentFailure, InputRefused, UsageError
from fingerprint.text import clean

__all__ = ["Address", "Resolve", "is_public", "parse_address", "reachable_at"]

Resolve = Callable[[str, int], Sequence[str]]
"""Looks up a host name and port: its IP addresses as text."""

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+", re.ASCII)
_UNICAST = ipaddress.ip_network("2000::/3")
"""The only part of IPv6 that hosts of the public internet are in."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """An http or https address without credentials, query or fragment.

    Attributes:
        scheme: ``http`` or ``https``.
        host: Name in ASCII, or an IP address without brackets.
        port: TCP port.
        path: Percent-encoded, begins with a slash.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Host, and port where it is not the scheme's own, as a ``Host`` header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def with_path(self, path: str) -> Address:
        """The same host, asked at another path."""
        return replace(self, path=path)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def parse_address(text: str) -> Address:
    """Reads an address.

    Raises:
        UsageError: It is none that can be asked, or it holds what should not be typed or shown.
    """
    try:
        url = httpx2.URL(text)
        host = url.raw_host.decode("ascii")
    except (httpx2.InvalidURL, UnicodeError, ValueError) as error:
        raise UsageError(f"{clean(text)}: expected an address such as https://HOST/PATH") from error
    if url.scheme not in _PORTS or not _HOST.fullmatch(host):
        raise UsageError(f"{clean(text)}: expected an address that begins with https:// or http://")
    if url.userinfo or url.query or url.fragment or "?" in text:
        # Such parts hold keys; they would be in the shell's history, and in every message.
        raise UsageError(
            f"{clean(host)}: expected an address without user, query and fragment; give a key by "
            "--token-env NAME, or what a query says in the file of --adapter generic:FILE"
        )
    path = url.raw_path.decode("ascii")
    return Address(scheme=url.scheme, host=host, port=url.port or _PORTS[url.scheme], path=path)


def is_public(text: str) -> bool:
    """Whether an IP address is one of the public internet, whatever form it is written in.

    IPv4 addresses inside IPv6 ones (mapped, 6to4) count as what they are; translated ones (NAT64),
    Teredo, multicast and what is reserved count as private.
    """
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None:
            return address.is_global and address in _UNICAST
        address = inner
    return address.is_global and not (address.is_multicast or address.is_reserved)


def look_up(host: str, port: int) -> list[str]:
    """Returns the IP addresses of a host, in the system's order.

    Raises:
        EnvironmentFailure: It has none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not a host name"
        raise EnvironmentFailure(f"{clean(host)}: {reason}; check the name") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def reachable_at(
    address: Address, *, allow_private: bool, resolve: Resolve = look_up
) -> tuple[str, ...]:
    """Looks up the host of an address and says where it may be connected to.

    Args:
        address: Whom to ask.
        allow_private: Whether addresses that are not public may be asked, and by plain http.
        resolve: Looks up the name; called once.

    Returns:
        IP addresses, all of them allowed, at least one.

    Raises:
        InputRefused: One of them is not public, or a public one would be asked without TLS.
        EnvironmentFailure: The name has no address.
    """
    # Of a link-local address the zone only names our own interface.
    found = tuple(one.partition("%")[0] for one in resolve(address.host, address.port))
    if not found:
        raise EnvironmentFailure(f"{clean(address.host)}: it has no address; check the name")
    private = [one for one in found if not is_public(one)]
    if private and not allow_private:
        raise InputRefused(
            f"{clean(address.host)}: expected a public address, got {clean(private[0])}; give "
            "--allow-private if it is meant"
        )
    if address.scheme == "http" and len(private) < len(found):
        raise InputRefused(
            f"{clean(address.host)}: expected https, got http, by which anybody on the way reads "
            "and changes what is asked; it is only for private addresses (--allow-private)"
        )
    return found
