"""Ports for a child are free, and none that an outgoing connection could take before the child has it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from deploy.local import ports
from deploy.local.errors import LocalStackError
from deploy.local.plan import StackPorts
from deploy.local.ports import LOOPBACK, free_base, free_ports

HANDED_OUT = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_free_ports_are_different_and_can_be_bound() -> None:
    found = free_ports(50)
    assert len(set(found)) == 50
    for port in found:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, port))


@pytest.mark.skipif(not HANDED_OUT.exists(), reason="only Linux says which ports it gives to outgoing connections")
def test_no_free_port_is_one_that_an_outgoing_connection_is_given() -> None:
    first = int(HANDED_OUT.read_text().split()[0])
    assert max(*free_ports(200), free_base(StackPorts.SPAN) + StackPorts.SPAN) < first


def test_a_taken_port_is_not_chosen_and_too_few_free_ones_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    (taken,) = free_ports(1)
    monkeypatch.setattr(ports, "SINGLE_MIN", taken)
    monkeypatch.setattr(ports, "SINGLE_MAX", taken + 1)
    assert free_ports(1) == [taken]
    with socket.socket() as listening:
        listening.bind((LOOPBACK, taken))
        listening.listen()
        with pytest.raises(LocalStackError, match=f"No 1 free ports were found from {taken} to {taken + 1}"):
            free_ports(1)
