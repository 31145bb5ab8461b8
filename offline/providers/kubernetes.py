"""The stand-in for `pulumi-resource-kubernetes`: any kind, by server-side apply against a real API server.

A preview is the server's own dry-run, so that admission (KEDA's too) is heard before anything changes. Where no
server answers, a preview shows the inputs and says so once; an update fails with one sentence. What is compared is
inputs with inputs, never with the live object, so fields that controllers own (status, an autoscaler's replicas)
make no difference.
"""

import os
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from offline.providers import kube_rules
from offline.providers.changes import Verdict
from offline.providers.kube_config import Access, find
from offline.providers.plugin import Engine, Failure, Found, HalfDoneError, PluginError, Resource, serve
from offline.providers.values import Object, Secrets, at, has_unknown, is_unknown

if TYPE_CHECKING:
    from offline.providers.kube_api import Api, Reply

VERSION = "4.34.2"
AWAIT_SECONDS = 600.0
POLL_SECONDS = (0.1, 2.0)  # first and longest pause
SECRET_TYPE = "kubernetes:core/v1:Secret"  # noqa: S105 (a resource type)
KEDA_INSTALL = "helm install keda kedacore/keda --namespace keda --create-namespace"
INPUTS_ONLY = "no cluster reachable: the preview is of inputs only"
CONFLICT_ADVICE = (
    "Another manager owns these fields. Leave them out of the program, or set the annotation "
    f"{kube_rules.FORCE}=true (or the provider's enablePatchForce) to take them over."
)


class Kubernetes:
    """One configured provider."""

    name = "kubernetes"
    version = VERSION

    def __init__(self) -> None:
        self._config: Object = {}
        self._engine = Engine("")
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._access: Access | None = None
        self._api: Api | None = None
        self._unreachable: str | None = None
        self._asked = False
        self._adopted: set[str] = set()

    def configure(self, config: Object, engine: Engine) -> None:
        """Keep the provider's inputs; the cluster is sought when it is first needed."""
        self._config, self._engine = config, engine
        self._access, self._unreachable = self._find_access()
        where = self._access.server if self._access else "no cluster"
        engine.info(f"stand-in Kubernetes plugin: speaks to {where}; not a released provider")

    def check(self, resource: Resource, old: Object, new: Object) -> tuple[Object, Sequence[Failure]]:
        """Name what has no name, and refuse what is no Kubernetes object."""
        failures = []
        if resource.type.endswith(("Patch", "List")) or ":helm.sh/" in resource.type or ":yaml:" in resource.type:
            failures.append(Failure("kind", f"the stand-in plugin does not serve {resource.type}"))
        failures += [
            Failure(key, f"{resource.name} needs {key}, a text such as {example}")
            for key, example in (("apiVersion", "apps/v1"), ("kind", "Deployment"))
            if not isinstance(new.get(key), str)
        ]
        if not isinstance(new.get("metadata") or {}, dict):
            known = is_unknown(new["metadata"])
            return new, failures if known else [*failures, Failure("metadata", "metadata must be an object")]
        return kube_rules.autonamed(new, old, resource.name, resource.seed), failures

    def diff(self, resource: Resource, old: Object, new: Object, state: Object) -> Verdict:
        """Compare inputs with inputs."""
        del resource, state
        return kube_rules.compare(old, new, self._namespace, self._mutable)

    def create(self, resource: Resource, inputs: Object, *, preview: bool) -> tuple[str, Object]:
        """Apply the object; in a preview as a dry-run."""
        manager = kube_rules.manager_of(resource.urn)
        if preview:
            return "", self._previewed(resource, inputs, manager, {}, force=True)
        api = self._reached()
        path = self._path(api, inputs)
        if not self._is_true("upsertExistingObjects"):
            self._refuse_foreign(api, path, resource, inputs, manager)
        return self._applied(api, path, resource, inputs, manager)

    def read(self, resource: Resource, inputs: Object, state: Object) -> Found | None:
        """The live object, its inputs being only what the program sets, or everything on an import."""
        named = _by_id(resource, inputs or state)
        api = self._reached()
        path = api.path(*kube_rules.identity(named, self._namespace))
        if path is None:
            return None
        reply = api.get(path)
        if reply.status == 404:
            return None
        self._require(reply, resource, "cannot be read")
        live = reply.body
        found = kube_rules.project(inputs, live) if inputs else kube_rules.imported(live)
        manager = str(state.get(kube_rules.MANAGER) or kube_rules.manager_of(resource.urn))
        return Found(resource.id, found, kube_rules.outputs(live, manager))

    def update(self, resource: Resource, old: Object, new: Object, state: Object, *, preview: bool) -> Object:
        """Apply the object again under the same manager, which also removes the fields it no longer sets."""
        del old
        manager = str(state.get(kube_rules.MANAGER) or kube_rules.manager_of(resource.urn))
        if preview:
            return self._previewed(resource, new, manager, state, force=self._force(new))
        api = self._reached()
        return self._applied(api, self._path(api, new), resource, new, manager)[1]

    def delete(self, resource: Resource, inputs: Object, state: Object) -> None:
        """Delete, and wait until it is gone: what comes next may need the name."""
        from offline.providers.kube_api import UnreachableError

        try:
            if (uid := at(state, ("metadata", "uid"))) not in self._adopted:
                self._delete(self._reached(), resource, inputs or state, uid)
        except UnreachableError as error:
            if not self._is_true("deleteUnreachable", "PULUMI_K8S_DELETE_UNREACHABLE"):
                raise
            self._engine.warn(f"{error}; it is taken out of the state without being deleted", resource.urn)

    def invoke(self, token: str, args: Object) -> Object:
        """There are none."""
        del args
        raise PluginError(f"The stand-in Kubernetes plugin has no function {token}.")

    def also_secret(self, resource_type: str) -> Secrets:
        """The content of a Secret, whether the program marked it or not."""
        return Secrets(frozenset({("data",), ("stringData",)})) if resource_type == SECRET_TYPE else Secrets()

    def cancel(self) -> None:
        """End waits early."""
        self._cancelled.set()

    # -- the cluster ---------------------------------------------------------------------------------------------

    def _find_access(self) -> tuple[Access | None, str | None]:
        given, context, cluster = (self._config.get(key) for key in ("kubeconfig", "context", "cluster"))
        if has_unknown([given, context, cluster]):
            return None, "the provider's kubeconfig is not known yet"
        try:
            access = find(given, context, cluster)
        except PluginError as error:
            return None, str(error)
        return access, None if access else "there is no kubeconfig: set the provider's kubeconfig, or KUBECONFIG"

    def _reached(self) -> "Api":
        """The API server, or one sentence on why there is none."""
        from offline.providers.kube_api import Api, UnreachableError

        with self._lock:
            if not self._asked and self._access:
                api = Api(self._access)
                try:
                    api.get("/version")
                except PluginError as error:
                    self._unreachable = str(error)
                else:
                    self._api = api
            self._asked = True
        if self._api is None:
            raise UnreachableError(self._unreachable or "no cluster")
        return self._api

    def _path(self, api: "Api", inputs: Object) -> str:
        found = api.path(*kube_rules.identity(inputs, self._namespace))
        if found is None:
            raise PluginError(self._unknown_kind(inputs))
        return found

    def _unknown_kind(self, inputs: Object) -> str:
        version, kind = inputs["apiVersion"], inputs["kind"]
        how = (
            f"KEDA is not installed: `{KEDA_INSTALL}`"
            if version.startswith("keda.sh/")
            else f"install what defines {kind} first"
        )
        return f"The cluster knows no {kind} of {version}; {how}."

    @property
    def _namespace(self) -> str:
        return str(self._config.get("namespace") or (self._access and self._access.namespace) or "default")

    @property
    def _mutable(self) -> frozenset[str]:
        kinds = set()
        if self._is_true("enableConfigMapMutable", "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE"):
            kinds.add("ConfigMap")
        if self._is_true("enableSecretMutable", "PULUMI_K8S_ENABLE_SECRET_MUTABLE"):
            kinds.add("Secret")
        return frozenset(kinds)

    def _is_true(self, key: str, variable: str = "") -> bool:
        return str(self._config.get(key, os.environ.get(variable, ""))).lower() == "true"

    def _force(self, inputs: Object) -> bool:
        return kube_rules.annotation(inputs, kube_rules.FORCE) == "true" or self._is_true(
            "enablePatchForce", "PULUMI_K8S_ENABLE_PATCH_FORCE"
        )

    # -- preview -------------------------------------------------------------------------------------------------

    def _previewed(self, resource: Resource, inputs: Object, manager: str, state: Object, *, force: bool) -> Object:
        from_inputs = {**state, **inputs, kube_rules.MANAGER: manager}
        if has_unknown(inputs):
            return from_inputs
        api = self._reached_in_preview()
        if api is None:
            return from_inputs
        path = api.path(*kube_rules.identity(inputs, self._namespace))
        if path is None:
            self._engine.warn(self._unknown_kind(inputs), resource.urn)
            return from_inputs
        reply = api.apply(path, inputs, manager, dry_run=True, force=force)
        if reply.missing_namespace:
            return from_inputs
        self._heard(reply, resource)
        self._require(reply, resource, "would be refused")
        return kube_rules.outputs(reply.body, manager) if state else _without_identity(reply.body, manager)

    def _reached_in_preview(self) -> "Api | None":
        from offline.providers.kube_api import UnreachableError

        try:
            return self._reached()
        except UnreachableError as error:
            self._engine.warn(f"{INPUTS_ONLY} ({error})")
            return None

    # -- update --------------------------------------------------------------------------------------------------

    def _refuse_foreign(self, api: "Api", path: str, resource: Resource, inputs: Object, manager: str) -> None:
        """Refuse to take over an object of somebody else; one of an interrupted create of this resource is ours.

        A forced replacement looks the same (create, then delete the old): what was adopted is not deleted again.
        """
        reply = api.get(path)
        if not reply.ok:
            return
        managers = at(reply.body, ("metadata", "managedFields")) or []
        if any(entry.get("manager") == manager for entry in managers):
            self._adopted.add(str(at(reply.body, ("metadata", "uid"))))
        else:
            raise PluginError(
                f"{_called(inputs, resource)} already exists, and this stack did not make it. Import it with "
                f"`pulumi import`, delete it, or set the provider's upsertExistingObjects to take it over."
            )

    def _applied(self, api: "Api", path: str, resource: Resource, inputs: Object, manager: str) -> tuple[str, Object]:
        reply = api.apply(path, inputs, manager, force=self._force(inputs))
        self._heard(reply, resource)
        self._require(reply, resource, "was refused", inputs)
        live = self._awaited(api, path, resource, reply.body, manager)
        return _id(live), kube_rules.outputs(live, manager)

    def _awaited(self, api: "Api", path: str, resource: Resource, live: Object, manager: str) -> Object:
        if kube_rules.annotation(live, kube_rules.SKIP_AWAIT) in ("true", "ready"):
            return live
        deadline = time.monotonic() + (resource.timeout or AWAIT_SECONDS)
        pause = POLL_SECONDS[0]
        while why := kube_rules.not_ready(live):
            if time.monotonic() > deadline or self._cancelled.wait(pause):
                said = f"{_called(live, resource)} is not ready: {why}."
                raise HalfDoneError(_id(live), kube_rules.outputs(live, manager), said)
            pause = min(pause * 1.5, POLL_SECONDS[1])
            reply = api.get(path)
            self._require(reply, resource, "cannot be read")
            live = reply.body
        return live

    def _delete(self, api: "Api", resource: Resource, inputs: Object, uid: str | None) -> None:
        named = _by_id(resource, inputs)
        path = api.path(*kube_rules.identity(named, self._namespace))
        if path is None:
            return
        how = kube_rules.annotation(inputs, kube_rules.PROPAGATION).capitalize() or "Foreground"
        reply = api.delete(path, how, uid)
        if reply.status == 404 or (reply.status == 409 and "UID" in reply.message):
            return  # gone, or in the meantime somebody else's object of the same name
        self._heard(reply, resource)
        self._require(reply, resource, "cannot be deleted")
        if kube_rules.annotation(inputs, kube_rules.SKIP_AWAIT) == "true":
            return
        self._wait_until_gone(api, path, resource, uid)

    def _wait_until_gone(self, api: "Api", path: str, resource: Resource, uid: str | None) -> None:
        deadline = time.monotonic() + (resource.timeout or AWAIT_SECONDS)
        pause = POLL_SECONDS[0]
        while (reply := api.get(path)).status != 404 and uid in (None, at(reply.body, ("metadata", "uid"))):
            if time.monotonic() > deadline or self._cancelled.wait(pause):
                held = ", ".join(at(reply.body, ("metadata", "finalizers")) or ()) or "none"
                raise PluginError(f"{resource.id} is still there; its finalizers are: {held}.")
            pause = min(pause * 1.5, POLL_SECONDS[1])

    # -- answers -------------------------------------------------------------------------------------------------

    def _heard(self, reply: "Reply", resource: Resource) -> None:
        for warning in reply.warnings:
            if self._is_true("suppressDeprecationWarnings") and "deprecated" in warning:
                continue
            self._engine.warn(warning, resource.urn)

    def _require(self, reply: "Reply", resource: Resource, what: str, inputs: Object | None = None) -> None:
        if reply.ok:
            return
        advice = f" {CONFLICT_ADVICE}" if reply.status == 409 and "conflict" in reply.message else ""
        subject = _called(inputs, resource) if inputs else resource.id or resource.name
        raise PluginError(f"{subject} {what} by the API server: {' '.join(reply.message.split())}{advice}")


def _called(inputs: Object, resource: Resource) -> str:
    metadata: dict[str, Any] = inputs.get("metadata") or {}
    name = "/".join(part for part in (metadata.get("namespace"), metadata.get("name") or resource.name) if part)
    return f"{inputs.get('kind')} {name}"


def _id(live: Object) -> str:
    metadata = live["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else str(metadata["name"])


def _by_id(resource: Resource, inputs: Object) -> Object:
    """What names the object of an id `namespace/name` or `name`; its kind comes from the inputs, else the type."""
    namespace, _, name = resource.id.rpartition("/")
    version, kind = resource.type.split(":")[1:]
    return {
        "apiVersion": inputs.get("apiVersion") or version.removeprefix("core/"),
        "kind": inputs.get("kind") or kind,
        "metadata": {"name": name, "namespace": namespace or at(inputs, ("metadata", "namespace"))},
    }


def _without_identity(live: Object, manager: str) -> Object:
    """A dry-run's object without what the real one will have otherwise."""
    kept = kube_rules.outputs(live, manager)
    kept["metadata"] = {key: value for key, value in kept["metadata"].items() if key not in kube_rules.SERVER_FIELDS}
    kept.pop("status", None)
    return kept


def main() -> None:
    """Serve until the engine ends this process."""
    serve(Kubernetes(), sys.argv[1:])


if __name__ == "__main__":
    main()
