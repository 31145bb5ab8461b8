"""Traces tasks with OpenTelemetry, when OTEL_EXPORTER_OTLP_ENDPOINT is set and the `otel` extra is installed.

A span processor has a thread, and threads do not survive a fork: each child makes its own after the fork. The standard
OTEL_* variables set protocol, service name, sampling and headers. An application that has set a tracer provider itself
keeps it.
"""

import importlib.util
import logging
import os
from typing import Any

logger = logging.getLogger("alphaswarm_runtime.health.traces")

REQUIRED_MODULES = ("opentelemetry.sdk.trace", "opentelemetry.instrumentation.celery")
EXPORTERS = {  # by OTEL_EXPORTER_OTLP_PROTOCOL
    "grpc": "opentelemetry.exporter.otlp.proto.grpc",
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http",
}


def start() -> None:
    """Trace this process' children, if that is asked for and possible."""
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    exporters = [EXPORTERS[protocol]] if protocol in EXPORTERS else list(EXPORTERS.values())
    exporter = next((name for name in exporters if _is_installed(name)), None)
    if exporter is None or not all(_is_installed(name) for name in REQUIRED_MODULES):
        logger.info("OTEL_EXPORTER_OTLP_ENDPOINT is set, but the otel extra is not installed: no traces")
        return
    from celery import signals

    def instrument(**_kwargs: object) -> None:
        _instrument(exporter)

    signals.worker_process_init.connect(instrument, weak=False)
    signals.beat_init.connect(instrument, weak=False)


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
