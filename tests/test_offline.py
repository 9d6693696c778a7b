"""The tests have no network, and neither has what they start."""

import os
import socket
import subprocess
import sys
import urllib.request

import pytest

ELSEWHERE = [("192.0.2.1", 80), ("10.0.0.1", 443), ("2001:db8::1", 80), ("example.com", 80)]


@pytest.mark.parametrize("address", ELSEWHERE)
def test_nobody_else_can_be_called(address: tuple[str, int]) -> None:
    with pytest.raises(OSError, match="the tests have no network"):
        socket.create_connection(address, timeout=5)


def test_no_datagram_leaves() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender, pytest.raises(OSError, match="no network"):
        sender.sendto(b"hello", ("192.0.2.1", 53))


def test_libraries_are_cut_off_too() -> None:
    with pytest.raises(OSError, match="no network"):
        urllib.request.urlopen("http://example.com", timeout=5)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_can_be_called(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection((host, server.getsockname()[1]), timeout=5).close()


def test_child_processes_are_cut_off() -> None:
    code = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and "the tests have no network" in done.stderr


def test_no_key_and_no_live_model_is_in_reach() -> None:
    assert os.environ["SLM_MODE"] == "offline" and os.environ["HF_HUB_OFFLINE"] == "1"
    assert not [name for name in os.environ if name.endswith(("_API_KEY", "HF_TOKEN", "GITHUB_TOKEN"))]
