"""Cuts this process off from every network but its own machine, and cannot be undone.

Importing it is enough. It listens to Python's audit events, which every Python library's sockets raise, whatever
name they were imported under. It does not see sockets that compiled code opens by itself.
"""

import errno
import ipaddress
import socket
import sys

_LOOKUPS = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
_SENDS = {"socket.connect", "socket.sendto", "socket.sendmsg"}
_OURSELVES = {None, "", "localhost", "localhost.localdomain", socket.gethostname()}


def _is_this_machine(host: object) -> bool:
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host in _OURSELVES:
        return True
    try:
        address = ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _cut(event: str, arguments: tuple[object, ...]) -> None:
    if event in _LOOKUPS and not _is_this_machine(arguments[0]):
        raise socket.gaierror(socket.EAI_NONAME, f"the tests have no network: nobody may look up {arguments[0]!r}")
    if event in _SENDS:
        address = arguments[1]
        if isinstance(address, tuple) and isinstance(address[0], str) and not _is_this_machine(address[0]):
            raise OSError(errno.ENETUNREACH, f"the tests have no network: nothing may be sent to {address[0]}")


sys.addaudithook(_cut)
