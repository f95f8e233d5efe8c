"""The HTTP proxy that the environment names for a URL (`https_proxy`, `no_proxy` and the like). Loopback has none."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from talkup_client.errors import SettingError
from talkup_client.transport import is_loopback, parts_of


@dataclass(frozen=True, slots=True)
class Proxy:
    """Host and port of a proxy, and the headers for it."""

    place: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def proxy_for(url: str) -> Proxy | None:
    """The proxy for an http:// or https:// URL. Raises SettingError for one that this client cannot use."""
    parts = urlsplit(url)
    if is_loopback(url) or proxy_bypass(parts.netloc):
        return None
    if (named := getproxies().get(parts.scheme)) is None:
        return None
    proxy = parts_of(named if "://" in named else f"http://{named}")
    if proxy.scheme != "http" or not proxy.hostname:
        raise SettingError(f"{parts.scheme}_proxy: only a proxy of the form http://host:port can be used here")
    headers = {}
    if proxy.username is not None:
        login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    return Proxy(proxy.netloc.rpartition("@")[2], headers)
