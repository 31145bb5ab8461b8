import hashlib
import ssl
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest
import requests

from common.errors import CommandError
from common.paths import Paths
from common.progress import Progress
from local.ports import Ports
from local.services.registry import Registry, RegistryTls
from toolchain import ensure, find

pytestmark = pytest.mark.skipif(find("docker-registry") is None, reason="docker-registry is neither on PATH nor built")
BLOB = b"a layer"
DIGEST = f"sha256:{hashlib.sha256(BLOB).hexdigest()}"


@pytest.fixture(params=[None, RegistryTls()], ids=["http", "tls"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    paths = Paths(tmp_path)
    program = ensure(["docker-registry"], Progress())["docker-registry"]
    made = Registry(program, paths, Ports(paths.run / "ports.json"), request.param)
    made.start(Progress())
    yield made
    made.stop()


def session(registry: Registry) -> requests.Session:
    made = requests.Session()
    made.trust_env = False
    made.verify = str(registry.ca_file) if registry.ca_file else True
    return made


def push(registry: Registry) -> None:
    with session(registry) as link:
        upload = link.post(f"{registry.url}/v2/worker/blobs/uploads/").headers["Location"]
        link.put(f"{upload}&digest={DIGEST}", data=BLOB).raise_for_status()


def test_a_pushed_layer_is_pulled_and_outlives_a_restart(registry: Registry) -> None:
    push(registry)
    registry.stop()
    registry.start(Progress())
    assert session(registry).get(f"{registry.url}/v2/worker/blobs/{DIGEST}").content == BLOB


def test_the_registry_allows_deletion(registry: Registry) -> None:
    push(registry)
    assert session(registry).delete(f"{registry.url}/v2/worker/blobs/{DIGEST}").status_code == 202
    assert session(registry).get(f"{registry.url}/v2/worker/blobs/{DIGEST}").status_code == 404


def test_the_registry_is_reached_from_this_machine_only(registry: Registry) -> None:
    address = f"{registry.ports.get('registry'):04X}"
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    assert [line[1] for line in listening if line[1].endswith(f":{address}") and line[3] == "0A"] == [
        f"0100007F:{address}"
    ]


def test_the_tls_name_is_one_that_no_client_takes_for_plain_localhost() -> None:
    name = RegistryTls().name
    assert name != "localhost", "BuildKit would speak plain HTTP to it"
    assert name.lower() == "localhost", "it would need a line in /etc/hosts"


def test_a_stranger_without_the_authority_does_not_trust_the_registry(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    program = ensure(["docker-registry"], Progress())["docker-registry"]
    made = Registry(program, paths, Ports(paths.run / "ports.json"), RegistryTls())
    made.start(Progress())
    try:
        with pytest.raises(ssl.SSLError):
            ssl.get_server_certificate(("localhost", made.ports.get("registry")), ca_certs=certifi.where())
        assert made.ca_file is not None
        assert ssl.get_server_certificate(("localhost", made.ports.get("registry")), ca_certs=str(made.ca_file))
    finally:
        made.stop()


def test_a_name_that_leads_elsewhere_is_refused_with_the_line_to_add(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    made = Registry(Path("docker-registry"), paths, Ports(paths.run / "ports.json"), RegistryTls("registry.invalid"))
    with pytest.raises(CommandError, match=r"127\.0\.0\.1 registry\.invalid"):
        made.start(Progress())
