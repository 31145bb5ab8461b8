"""Traces reach a collector when an endpoint is given and the extra is installed."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.images.runtime.harness import Fleet, until

pytestmark = pytest.mark.redis


@pytest.fixture
def collector() -> Iterator[tuple[str, list[str]]]:
    posted: list[str] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            posted.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", posted
    server.shutdown()
    server.server_close()


def test_a_tasks_span_is_exported_from_the_child_that_ran_it(fleet: Fleet, collector: tuple[str, list[str]]) -> None:
    pytest.importorskip("opentelemetry.instrumentation.celery")
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    endpoint, posted = collector
    fleet.worker(
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_BSP_SCHEDULE_DELAY="200",
    )
    assert fleet.send("note", "traced").get() == "traced"
    until(lambda: "/v1/traces" in posted, "a span arrives")
