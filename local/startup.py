"""Starts what stack `local` runs on, each part as soon as its programs are there.

    services ─> builder and base image ─> images' steps, into BuildKit's cache
    pulumi and its plugins
    the Kubernetes API server and KEDA

The compiler keeps the cores busy for most of a first start, and none of the other parts needs them for long. The first
failure ends all that runs and is told once; so does an interrupt.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from common.errors import CommandError
from config.application import is_remote
from local.builder import Builder
from local.builder import factory as builder_factory
from local.builder.ahead import BuildAhead
from local.builder.factory import ensure_builder, shared_layers
from local.cluster import Cluster, check_selection, ensure_cluster, selected_tools
from local.engine import DOCKER_BUILD, Engine, ensure_engine, pinned_versions
from local.infrastructure import Infrastructure
from local.processes import interrupt_children
from local.services import factory as services_factory
from local.services.factory import Services, ensure_services
from local.stack import application_lock, builds_images, built_images, celery_app, images_python
from local.tools import Tools
from local.workspace import Workspace
from offline.base_image.build import BASE_PYTHON
from toolchain import ensure_in_background, find, released_plugin

PARTS = 5


def start(workspace: Workspace) -> tuple[Engine, Infrastructure]:
    """Have every program, start every server, and return the engine and what the stack runs on.

    Raises:
        CommandError: something cannot be had or does not start; nothing else is begun then.
    """
    selected = os.environ.get("LOCAL_CLUSTER")
    check_selection(selected, workspace.paths)
    builds = builds_images(workspace.stack_file)
    names = _tools(workspace, selected, builds=builds)
    first = any(find(name) is None for name in names)
    with ensure_in_background(names, workspace.progress) as tools, ThreadPoolExecutor(PARTS) as pool:
        ahead = BuildAhead(Path("buildctl"), workspace.paths.logs / "build-ahead.log")

        def cancel() -> None:
            ahead.stop()
            interrupt_children()  # where only this process was interrupted, and not its group by a terminal
            tools.close()

        parts = _Parts(workspace, tools.wait, selected)
        services = pool.submit(parts.services)
        engine = pool.submit(parts.engine, builds=builds)
        cluster = pool.submit(parts.cluster)
        builder = pool.submit(parts.builder, services) if builds else None
        others = [pool.submit(parts.images_ahead, builder, ahead)] if builder and first else []
        _all_done([services, engine, cluster, *([builder] if builder else []), *others], cancel)
        infrastructure = Infrastructure(services.result(), cluster.result(), builder.result() if builder else None)
        return engine.result(), infrastructure


class _Parts:
    """Each part as a function that waits for what it needs."""

    def __init__(self, workspace: Workspace, tools: Tools, selected: str | None) -> None:
        self._workspace, self._tools, self._selected = workspace, tools, selected
        self._paths, self._ports, self._progress = workspace.paths, workspace.ports, workspace.progress

    def services(self) -> Services:
        services = ensure_services(self._paths, self._ports, self._progress, self._tools)
        services.start(self._progress)
        return services

    def engine(self, *, builds: bool) -> Engine:
        return ensure_engine(self._paths, self._progress, builds_images=builds, tools=self._tools)

    def cluster(self) -> Cluster:
        cluster = ensure_cluster(self._selected, self._paths, self._ports, self._progress, self._tools)
        cluster.start(self._progress)
        return cluster

    def builder(self, services: Future[Services]) -> Builder:
        registry = services.result().registry
        lock = application_lock(self._workspace.stack_file)
        service = ensure_builder(self._paths, registry, self._progress, lock, shared_layers(), self._tools)
        builder = service.start(self._progress)
        check_python(builder, images_python(self._workspace.stack_file))
        return builder

    def images_ahead(self, builder: Future[Builder], ahead: BuildAhead) -> None:
        """Build as the update will; an application that is fetched is left to it, and so is a file with errors."""
        try:
            images = built_images(self._workspace.stack_file, builder.result().overrides())
        except ValidationError:
            return  # the program says what is wrong
        if is_remote(images.application):
            return
        ahead.buildctl = self._tools("buildctl")["buildctl"]
        file = self._workspace.stack_file
        build_args = images.all_build_args(celery_app(file))
        ahead.run(builder.result().address, file.parent, images, build_args, self._progress)


def check_python(builder: Builder, wanted: str) -> None:
    """Raise CommandError when the builder's base has another Python than the stack wants in its images."""
    if builder.on_stand_in_base and wanted != BASE_PYTHON:
        raise CommandError(
            f"fleet:images.python is {wanted}, and where Wolfi cannot be pulled the images stand on Debian's packages, "
            f"which bring {BASE_PYTHON}. Remove the key, or use a machine that can pull Wolfi."
        )


def _tools(workspace: Workspace, selected: str | None, *, builds: bool) -> Sequence[str]:
    """Return the names of all programs, in the order in which they are wanted: what others wait for comes first."""
    images = builder_factory.TOOLS if builds else ()
    version = pinned_versions(workspace.paths)["docker-build"]
    plugin = (DOCKER_BUILD,) if builds and released_plugin("docker-build", version) is None else ()
    return (*services_factory.TOOLS, *images, "pulumi", *plugin, *selected_tools(selected))


def _all_done(parts: Sequence[Future[Any]], cancel: Callable[[], None]) -> None:
    """Wait for all; when one fails, or at an interrupt, cancel the others and raise that failure alone."""
    try:
        done, _ = wait(parts, return_when=FIRST_EXCEPTION)
        for part in parts:
            if part in done:
                part.result()
    except BaseException:
        cancel()
        raise
