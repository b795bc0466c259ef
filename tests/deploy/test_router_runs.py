"""The router with real nginx in front of stand-in engines that crash, hang, answer 500 and come back."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from optimizer.deployment.router import ToServer
from tests.deploy.running import Engines, Router, get, needs_nginx, post, service, until

pytestmark = needs_nginx


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engines, Router]]:
    with service(tmp_path_factory.mktemp("router"), 4) as found:
        yield found


@pytest.fixture
def both(running: tuple[Engines, Router]) -> tuple[Engines, Router]:
    """All four engines up, whatever the test before did."""
    engines, router = running
    until(lambda: all(engines.revived(number) for number in range(4)))
    time.sleep(0.2)
    router.sees(4)
    engines.notes.write_text("")
    return engines, router


def test_requests_are_divided_evenly(both: tuple[Engines, Router]) -> None:
    engines, router = both
    ports = [post(router.port, "hello")[1].split('"port": ')[1].rstrip("}") for _ in range(16)]
    assert sorted(ports) == sorted(str(port) for port in engines.ports * 4)


def test_a_request_that_crashes_engines_meets_two_of_them_at_most(both: tuple[Engines, Router]) -> None:
    engines, router = both
    code, _ = post(router.port, "crash")
    assert code == 502
    assert len(engines.notes.read_text().splitlines()) == 2
    until(lambda: len(engines.alive()) == 2)
    assert [post(router.port, "hello")[0] for _ in range(20)] == [200] * 20
    router.sees(2)


def test_a_broken_stream_is_not_asked_again(both: tuple[Engines, Router]) -> None:
    engines, router = both
    code, body = post(router.port, "late-crash 5")
    assert code in (0, 200) and "DONE" not in body
    assert len(engines.notes.read_text().splitlines()) == 1
    until(lambda: len(engines.alive()) == 3)


def test_a_dead_worker_is_answered_by_another_engine(both: tuple[Engines, Router]) -> None:
    engines, router = both
    # Every engine that is asked says 500: two are asked, and the client hears it.
    code, body = post(router.port, "die")
    assert code == 500 and "EngineDeadError" in body
    assert len(engines.notes.read_text().splitlines()) == 2
    assert [post(router.port, "hello")[0] for _ in range(20)] == [200] * 20


def test_an_engine_that_answers_500_costs_no_request(both: tuple[Engines, Router]) -> None:
    engines, router = both
    # It says 500 to everything while its end is not seen yet.
    post(engines.ports[2], "die")
    assert [post(router.port, "hello")[0] for _ in range(12)] == [200] * 12


def test_a_moment_with_every_engine_down_is_over_when_they_are_back(both: tuple[Engines, Router]) -> None:
    engines, router = both
    # Long streams stay open through the router all the while.
    streams = [threading.Thread(target=post, args=(router.port, "stream 30")) for _ in range(2)]
    for number in range(4):
        engines.kill(number)
    router.sees(0)
    code, body = post(router.port, "hello")
    assert (code, body) == (503, "no engine is up\n")
    assert get(router.port, "/router/health") == (503, "0 of 4 engines up\n")
    for number in range(4):
        engines.start(number)
    router.sees(4)
    for stream in streams:
        stream.start()
    assert [post(router.port, "hello")[0] for _ in range(100)] == [200] * 100
    for stream in streams:
        stream.join()


def test_one_error_of_the_last_engine_is_no_outage(both: tuple[Engines, Router]) -> None:
    engines, router = both
    for number in range(3):
        engines.kill(number)
    router.sees(1)
    assert post(router.port, "late-crash")[0] in (0, 200)
    until(lambda: engines.revived(3))
    router.sees(1)
    assert [post(router.port, "hello")[0] for _ in range(5)] == [200] * 5


def test_a_restarted_engine_serves_again_and_streams_go_on_through_reloads(both: tuple[Engines, Router]) -> None:
    engines, router = both
    found: list[tuple[int, str]] = []
    stream = threading.Thread(target=lambda: found.append(post(router.port, "stream 20")))
    stream.start()
    user = int(until(lambda: engines.notes.read_text().split()[:1])[0])
    other = next(number for number, port in enumerate(engines.ports) if port != user)
    engines.kill(other)
    router.sees(3)
    engines.start(other)
    router.sees(4)
    stream.join()
    assert found[0][0] == 200 and "t19" in found[0][1] and "DONE" in found[0][1]


def test_a_host_that_no_one_knows_does_not_stop_the_router(tmp_path: Path, both: tuple[Engines, Router]) -> None:
    engines, _ = both
    servers = [("no-such-host.invalid:8001", 1), (f"localhost:{engines.ports[0]}", 1)]
    router = Router(tmp_path / "second", servers)
    try:
        assert get(router.port, "/router/health") == (200, "1 of 2 engines up\n")
        assert [post(router.port, "hello")[0] for _ in range(4)] == [200] * 4
    finally:
        assert router.stop() == 143


def test_stderr_may_be_a_socket_as_under_systemd(tmp_path: Path, both: tuple[Engines, Router]) -> None:
    engines, _ = both
    ours, theirs = socket.socketpair()
    router = Router(tmp_path / "third", [(f"localhost:{engines.ports[0]}", 1)], stderr=theirs)
    assert post(router.port, "hello")[0] == 200
    assert router.stop(signal.SIGINT) == 130
    ours.setblocking(False)
    assert b"1 of 1 engines are up" in ours.recv(10000)


def test_stopping_the_router_lets_streams_end(tmp_path: Path, both: tuple[Engines, Router]) -> None:
    engines, _ = both
    router = Router(tmp_path / "fourth", [(f"localhost:{engines.ports[0]}", 1)])
    found: list[tuple[int, str]] = []
    stream = threading.Thread(target=lambda: found.append(post(router.port, "stream 10")))
    stream.start()
    until(lambda: engines.notes.read_text())
    assert router.stop() == 143
    stream.join()
    assert found[0][0] == 200 and "DONE" in found[0][1]
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert str(tmp_path / "fourth") not in left


def test_joint_instances_beside_pools_keep_their_share(tmp_path: Path, both: tuple[Engines, Router]) -> None:
    """Two joint instances for a tenth of the requests, two routers of pools: a part keeps its share while any of its servers is up."""
    engines, _ = both
    addresses = [f"localhost:{port}" for port in engines.ports]
    servers: list[ToServer] = [(address, 1, "joint", "/health") for address in addresses[:2]]
    servers += [(address, 1, "pools", "/readiness") for address in addresses[2:]]
    router = Router(tmp_path / "beside", servers, dealt=[("joint", Fraction(1, 10)), ("pools", Fraction(9, 10))])

    def joint(requests: int) -> int:
        """How many of the requests the joint instances get."""
        bodies = [post(router.port, "hello")[1] for _ in range(requests)]
        assert all('"port": ' in body for body in bodies)
        return sum(int(body.split('"port": ')[1].rstrip("}")) in engines.ports[:2] for body in bodies)

    try:
        # 20 ± 7 standard deviations of a binomial count, sqrt(200 · 0.1 · 0.9) = 4.2; turns over all servers would give 100, then 67.
        assert 0 < joint(200) < 50
        engines.kill(0)
        router.sees(3)
        assert 0 < joint(200) < 50
        engines.kill(1)
        router.sees(2)
        assert joint(20) == 0
        until(lambda: engines.revived(0))
        engines.kill(2)
        engines.kill(3)
        router.sees(1)
        assert joint(20) == 20
    finally:
        assert router.stop() == 143


def test_an_engine_that_does_not_answer_in_time_is_left_out(both: tuple[Engines, Router]) -> None:
    engines, router = both
    began = time.monotonic()
    hanging = threading.Thread(target=post, args=(engines.ports[0], "hang", 1))
    hanging.start()
    router.sees(3)
    assert time.monotonic() - began < 25
    assert [post(router.port, "hello")[0] for _ in range(9)] == [200] * 9
    hanging.join()
    engines.kill(0)
