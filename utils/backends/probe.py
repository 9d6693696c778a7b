"""Does something answer at an address, and what? Within a time limit, past no proxy on the way to this machine itself.

It follows no redirect: a key must not go elsewhere. It knows no route.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from utils.backends.stream import in_time

WAIT = 1.5  # seconds for a server to answer, before a pocket model takes its place
BYTES = 1_000_000  # read of an answer at most


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    body: bytes


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def direct(url: str) -> None:
    """Lets every library in this process reach `url` without a proxy, if that is on this machine."""
    host = urlsplit(url).hostname or ""
    if is_loopback(host) and not urllib.request.proxy_bypass(host):
        spared = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
        os.environ["no_proxy"] = f"{spared},{host}" if spared else host


def reachable(url: str, wait: float = WAIT) -> bool:
    """Whether something accepts connections there (or at the proxy that leads there) within `wait` seconds."""
    parts = urlsplit(_proxy(url) or url)
    where = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
    try:
        in_time(lambda: socket.create_connection(where, timeout=wait).close(), wait)
    except (OSError, UnicodeError):  # the latter: a name that is none
        return False
    return True


def get(url: str, key: str | None = None, wait: float = WAIT) -> Answer | None:
    """What comes back from there within `wait` seconds; None where that is nothing, or no HTTP."""
    try:
        return in_time(lambda: _get(url, key, wait), wait)
    except Exception:  # whatever a stranger's answer sets off: it is no answer
        return None


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *given: Any) -> None:
        return None


def _get(url: str, key: str | None, wait: float) -> Answer:
    proxy = _proxy(url)
    proxies = urllib.request.ProxyHandler({urlsplit(url).scheme: proxy} if proxy else {})
    headers = {"Authorization": f"Bearer {key}", "api-key": key} if key else {}
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.build_opener(proxies, _Stay).open(request, timeout=wait) as answer:
            return Answer(answer.status, answer.read(BYTES))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, b"")


def _proxy(url: str) -> str | None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get(parts.scheme)
