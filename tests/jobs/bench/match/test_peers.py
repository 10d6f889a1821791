"""Each peer that is here finds the true pairs of a few events. Those in Python need environments that ``make bench`` makes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from infra.kafka import Broker
from infra.peers import PeerError, built
from jobs.bench.match.contestants import PEERS, Contestant
from jobs.bench.match.inputs import inputs
from jobs.bench.match.measure import Where, matched
from jobs.bench.match.truth import true_pairs

IN_JAVA = [each for each in PEERS if "Flink" in each.name or "Streams, " in each.name]
IN_PYTHON = [each for each in PEERS if each not in IN_JAVA and each.there()]
MAY_LOSE = {"Quix Streams"}
"""It does not promise to read its topics in order."""
WITHIN_S = 300.0


def named(peer: Contestant) -> str:
    return peer.name


@pytest.mark.skipif(not shutil.which("java") or not shutil.which("mvn"), reason="java or mvn is not here: peers in Java run on them")
@pytest.mark.parametrize("peer", [*IN_JAVA, *IN_PYTHON], ids=named)
def test_a_peer_finds_the_true_pairs(peer: Contestant, kafka: Broker, tmp_path: Path) -> None:
    given = inputs(0.0005 / peer.share)
    truth = true_pairs(given)
    found = matched(Where(core=None, folder=tmp_path, brokers=kafka.bootstrap), peer, given, truth, WITHIN_S)
    assert found.compared is not None
    assert found.compared.pairs > 100
    assert found.compared.extra == 0
    assert found.compared.lost == 0 or (peer.name in MAY_LOSE and found.compared.lost < found.compared.pairs / 2)


def test_there_are_peers_in_java() -> None:
    assert len(IN_JAVA) == 3


def test_without_java_a_peer_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("infra.peers.maven.BUILT", tmp_path)
    with pytest.raises(PeerError) as caught:
        built("flink")
    assert str(caught.value) == "java must be on the path (got none): a Java 17 or newer runs flink"
