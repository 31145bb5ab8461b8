"""Traces through OpenTelemetry, when OTEL_EXPORTER_OTLP_ENDPOINT is set and the `otel` extra is installed.

A span processor has a thread, and threads do not survive a fork: each child makes its own after it was born. The
standard OTEL_* variables decide protocol, service name, sampling and headers. An application that has set up a tracer
provider itself keeps it.
"""

import importlib.util
import logging
import os
from typing import Any

logger = logging.getLogger("alphaswarm_runtime.traces")

NEEDED = ("opentelemetry.sdk.trace", "opentelemetry.instrumentation.celery")
EXPORTERS = {
    "grpc": "opentelemetry.exporter.otlp.proto.grpc",
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http",
}


def start() -> bool:
    """Trace this process' children, if that is wanted and possible; returns whether it is."""
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return False
    wanted = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    exporters = [EXPORTERS[wanted]] if wanted in EXPORTERS else list(EXPORTERS.values())
    exporter = next((name for name in exporters if _is_installed(name)), None)
    if exporter is None or not all(_is_installed(name) for name in NEEDED):
        logger.info("OTEL_EXPORTER_OTLP_ENDPOINT is set, but the otel extra is not installed: no traces")
        return False
    from celery import signals

    def begin(**_more: object) -> None:
        _instrument(exporter)

    signals.worker_process_init.connect(begin, weak=False)
    signals.beat_init.connect(begin, weak=False)
    return True


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _instrument(exporter: str) -> None:
    from opentelemetry import trace
    from opentelemetry.instrumentation.celery import CeleryInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    if isinstance(trace.get_tracer_provider(), TracerProvider):
        return
    module = importlib.import_module(f"{exporter}.trace_exporter")
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(module.OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    instrumentor: Any = CeleryInstrumentor  # its constructor has no types
    instrumentor().instrument(tracer_provider=provider)
