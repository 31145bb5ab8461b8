"""Runs a program without an engine, and prints the processor time that it took, in seconds.

The resource monitor returns the inputs at once, so what is measured is the program, its imports and the SDK. The
first argument is the program's folder, the second a file with its configuration as the engine passes it.
"""

import asyncio
import json
import os
import runpy
import sys
import time
from pathlib import Path
from typing import Any

import pulumi
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime import settings
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.stack import run_in_stack

PROJECT, STACK = "alphaswarm-fleet", "prod"


class EchoMonitor:
    """An engine and a resource monitor that return the inputs as outputs, and count the resources."""

    def __init__(self) -> None:
        self.count = 0

    def GetDeploymentInfo(self, _request: Any) -> Any:  # noqa: N802, ANN401 the protocol's names
        return resource_pb2.DeploymentInfo(supportedFeatures=resource_pb2.ResourceMonitorFeature.values())

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802, ANN401 the protocol's names
        self.count += 1
        urn = f"urn:pulumi:{STACK}::{PROJECT}::{request.type}::{request.name}"
        return resource_pb2.RegisterResourceResponse(urn=urn, id=request.name, object=request.object)

    def ReadResource(self, request: Any) -> Any:  # noqa: N802, ANN401 the protocol's names
        self.count += 1
        found = struct_pb2.Struct()
        found.update({"name": request.id, "outputs": {}, "secretOutputNames": []})
        urn = f"urn:pulumi:{STACK}::{PROJECT}::{request.type}::{request.name}"
        return resource_pb2.ReadResourceResponse(urn=urn, properties=found)

    def RegisterResourceOutputs(self, _request: Any) -> Any:  # noqa: N802, ANN401 the protocol's names
        return empty_pb2.Empty()

    def SignalAndWaitForShutdown(self, _request: Any) -> Any:  # noqa: N802, ANN401 the protocol's names
        return empty_pb2.Empty()

    def Log(self, _request: Any) -> None:  # noqa: N802, ANN401 the protocol's names
        """Ignore the messages here."""


def main() -> None:
    folder, values = Path(sys.argv[1]).absolute(), json.loads(Path(sys.argv[2]).read_text())
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    monitor: Any = EchoMonitor()
    pulumi.runtime.set_all_config(values, [])
    settings.configure(
        settings.Settings(
            project=PROJECT,
            stack=STACK,
            organization="organization",
            root_directory=str(folder),
            monitor=monitor,
            engine=monitor,
            dry_run=True,
        )
    )

    def program() -> None:
        runpy.run_path(str(folder / "__main__.py"), run_name="__main__")

    began = time.process_time()
    asyncio.run(run_in_stack(program))
    print(json.dumps({"program_cpu": time.process_time() - began, "registered": monitor.count}))


if __name__ == "__main__":
    main()
