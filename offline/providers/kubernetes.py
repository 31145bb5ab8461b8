"""The stand-in for `pulumi-resource-kubernetes`: any kind, by server-side apply.

A preview is the server's dry run, so admission (KEDA's too) speaks before anything changes. Where no server answers,
a preview shows the inputs and warns once; an update fails with one sentence. Diff compares inputs with inputs, never
with the live object, so fields that controllers own (status, an autoscaler's replicas) are no difference.
"""

import os
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from offline.providers import kube_rules
from offline.providers.diff import Diff
from offline.providers.kube_config import Access, load
from offline.providers.plugin import CheckFailure, Engine, InitFailedError, ProviderError, ReadResult, Resource, serve
from offline.providers.values import Object, Secrets, at, has_unknown, is_unknown

if TYPE_CHECKING:
    from offline.providers.kube_api import Api, Response

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
    """The configured provider."""

    name = "kubernetes"
    version = VERSION

    def __init__(self) -> None:
        self._config: Object = {}
        self._engine = Engine("")
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._access: Access | None = None
        self._api: Api | None = None
        self._unreachable_because: str | None = None
        self._connected = False
        self._adopted: set[str] = set()

    def configure(self, config: Object, engine: Engine) -> None:
        """Keep the provider's configuration. The cluster is called when it is first needed."""
        self._config, self._engine = config, engine
        self._access, self._unreachable_because = self._load_access()
        where = self._access.server if self._access else "no cluster"
        engine.info(f"stand-in Kubernetes plugin: speaks to {where}; not a released provider")

    def check(self, resource: Resource, old: Object, new: Object) -> tuple[Object, Sequence[CheckFailure]]:
        """Autoname, and return what makes the inputs no Kubernetes object."""
        failures = []
        if resource.type.endswith(("Patch", "List")) or ":helm.sh/" in resource.type or ":yaml:" in resource.type:
            failures.append(CheckFailure("kind", f"the stand-in plugin does not serve {resource.type}"))
        failures += [
            CheckFailure(key, f"{resource.name} needs {key}, a text such as {example}")
            for key, example in (("apiVersion", "apps/v1"), ("kind", "Deployment"))
            if not isinstance(new.get(key), str)
        ]
        if not isinstance(new.get("metadata") or {}, dict):
            known = is_unknown(new["metadata"])
            return new, failures if known else [*failures, CheckFailure("metadata", "metadata must be an object")]
        return kube_rules.autonamed(new, old, resource.name, resource.random_seed), failures

    def diff(self, resource: Resource, old: Object, new: Object, state: Object) -> Diff:
        """Compare inputs with inputs."""
        del resource, state
        return kube_rules.diff(old, new, self._namespace, self._mutable)

    def create(self, resource: Resource, inputs: Object, *, preview: bool) -> tuple[str, Object]:
        """Apply the object; in a preview as a dry run."""
        manager = kube_rules.field_manager(resource.urn)
        if preview:
            return "", self._preview(resource, inputs, manager, {}, force=True)
        api = self._api_or_error()
        path = self._path(api, inputs)
        if not self._flag("upsertExistingObjects"):
            self._refuse_existing(api, path, resource, inputs, manager)
        return self._apply(api, path, resource, inputs, manager)

    def read(self, resource: Resource, inputs: Object, state: Object) -> ReadResult | None:
        """Read the live object. Its inputs are the fields that the program sets, and all of it on an import."""
        identity = _identity_of(resource, inputs or state)
        api = self._api_or_error()
        path = api.path(*kube_rules.identity(identity, self._namespace))
        if path is None:
            return None
        response = api.get(path)
        if response.status == 404:
            return None
        self._raise_unless_ok(response, resource, "cannot be read")
        live = response.body
        found = kube_rules.live_inputs(inputs, live) if inputs else kube_rules.imported(live)
        manager = str(state.get(kube_rules.FIELD_MANAGER_KEY) or kube_rules.field_manager(resource.urn))
        return ReadResult(resource.id, found, kube_rules.outputs(live, manager))

    def update(self, resource: Resource, old: Object, new: Object, state: Object, *, preview: bool) -> Object:
        """Apply the object as the same field manager, which also removes fields that are no longer set."""
        del old
        manager = str(state.get(kube_rules.FIELD_MANAGER_KEY) or kube_rules.field_manager(resource.urn))
        if preview:
            return self._preview(resource, new, manager, state, force=self._force(new))
        api = self._api_or_error()
        path = self._path(api, new)
        return self._apply(api, path, resource, self._without_ignored(api, path, resource, new, manager), manager)[1]

    def delete(self, resource: Resource, inputs: Object, state: Object) -> None:
        """Delete the object, and wait until it is gone: the next one may need its name."""
        from offline.providers.kube_api import UnreachableError

        try:
            if (uid := at(state, ("metadata", "uid"))) not in self._adopted:
                self._delete(self._api_or_error(), resource, inputs or state, uid)
        except UnreachableError as error:
            if not self._flag("deleteUnreachable", "PULUMI_K8S_DELETE_UNREACHABLE"):
                raise
            self._engine.warn(f"{error}; it is taken out of the state without being deleted", resource.urn)

    def invoke(self, token: str, args: Object) -> Object:
        """Refuse: there are no functions."""
        del args
        raise ProviderError(f"The stand-in Kubernetes plugin has no function {token}.")

    def always_secret(self, token: str) -> Secrets:
        """Return the content of a Secret, whether the program marks it or not."""
        return Secrets(frozenset({("data",), ("stringData",)})) if token == SECRET_TYPE else Secrets()

    def cancel(self) -> None:
        """Stop waiting for anything."""
        self._cancelled.set()

    # -- the cluster ---------------------------------------------------------------------------------------------

    def _load_access(self) -> tuple[Access | None, str | None]:
        given, context, cluster = (self._config.get(key) for key in ("kubeconfig", "context", "cluster"))
        if has_unknown([given, context, cluster]):
            return None, "the provider's kubeconfig is not known yet"
        try:
            access = load(given, context, cluster)
        except ProviderError as error:
            return None, str(error)
        return access, None if access else "there is no kubeconfig: set the provider's kubeconfig, or KUBECONFIG"

    def _api_or_error(self) -> "Api":
        """Return the API client. Raises UnreachableError, which says why there is none."""
        from offline.providers.kube_api import Api, UnreachableError

        with self._lock:
            if not self._connected and self._access:
                api = Api(self._access)
                try:
                    api.get("/version")
                except ProviderError as error:
                    self._unreachable_because = str(error)
                else:
                    self._api = api
            self._connected = True
        if self._api is None:
            raise UnreachableError(self._unreachable_because or "no cluster")
        return self._api

    def _path(self, api: "Api", inputs: Object) -> str:
        found = api.path(*kube_rules.identity(inputs, self._namespace))
        if found is None:
            raise ProviderError(self._unknown_kind_message(inputs))
        return found

    def _unknown_kind_message(self, inputs: Object) -> str:
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
        if self._flag("enableConfigMapMutable", "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE"):
            kinds.add("ConfigMap")
        if self._flag("enableSecretMutable", "PULUMI_K8S_ENABLE_SECRET_MUTABLE"):
            kinds.add("Secret")
        return frozenset(kinds)

    def _flag(self, key: str, variable: str = "") -> bool:
        return str(self._config.get(key, os.environ.get(variable, ""))).lower() == "true"

    def _force(self, inputs: Object) -> bool:
        return kube_rules.annotation(inputs, kube_rules.FORCE) == "true" or self._flag(
            "enablePatchForce", "PULUMI_K8S_ENABLE_PATCH_FORCE"
        )

    # -- preview -------------------------------------------------------------------------------------------------

    def _preview(self, resource: Resource, inputs: Object, manager: str, state: Object, *, force: bool) -> Object:
        from_inputs = {**state, **inputs, kube_rules.FIELD_MANAGER_KEY: manager}
        if has_unknown(inputs):
            return from_inputs
        api = self._api_or_warning()
        if api is None:
            return from_inputs
        path = api.path(*kube_rules.identity(inputs, self._namespace))
        if path is None:
            self._engine.warn(self._unknown_kind_message(inputs), resource.urn)
            return from_inputs
        sent = self._without_ignored(api, path, resource, inputs, manager)
        response = api.apply(path, sent, manager, dry_run=True, force=force)
        if response.missing_namespace:
            return from_inputs
        self._log_warnings(response, resource)
        self._raise_unless_ok(response, resource, "would be refused")
        return kube_rules.outputs(response.body, manager) if state else _without_identity(response.body, manager)

    def _api_or_warning(self) -> "Api | None":
        from offline.providers.kube_api import UnreachableError

        try:
            return self._api_or_error()
        except UnreachableError as error:
            self._engine.warn(f"{INPUTS_ONLY} ({error})")
            return None

    # -- update --------------------------------------------------------------------------------------------------

    def _refuse_existing(self, api: "Api", path: str, resource: Resource, inputs: Object, manager: str) -> None:
        """Refuse to take over an object that another field manager made.

        An interrupted create of this resource left its own object, which is adopted. A forced replacement looks the
        same (create the new, then delete the old): an adopted object is not deleted afterwards.
        """
        response = api.get(path)
        if not response.ok:
            return
        managers = at(response.body, ("metadata", "managedFields")) or []
        if any(entry.get("manager") == manager for entry in managers):
            self._adopted.add(str(at(response.body, ("metadata", "uid"))))
        else:
            raise ProviderError(
                f"{_display_name(inputs, resource)} already exists, and this stack did not make it. Import it with "
                f"`pulumi import`, delete it, or set the provider's upsertExistingObjects to take it over."
            )

    def _without_ignored(self, api: "Api", path: str, resource: Resource, inputs: Object, manager: str) -> Object:
        """Return the inputs with the ignored fields as they are in the cluster, or without those that others set."""
        if not resource.ignored or not (response := api.get(path)).ok:
            return inputs
        return kube_rules.with_ignored(inputs, response.body, resource.ignored, manager)

    def _apply(self, api: "Api", path: str, resource: Resource, inputs: Object, manager: str) -> tuple[str, Object]:
        response = api.apply(path, inputs, manager, force=self._force(inputs))
        self._log_warnings(response, resource)
        self._raise_unless_ok(response, resource, "was refused", inputs)
        live = self._await_ready(api, path, resource, response.body, manager)
        return _resource_id(live), kube_rules.outputs(live, manager)

    def _await_ready(self, api: "Api", path: str, resource: Resource, live: Object, manager: str) -> Object:
        if kube_rules.annotation(live, kube_rules.SKIP_AWAIT) in ("true", "ready"):
            return live
        deadline = time.monotonic() + (resource.timeout or AWAIT_SECONDS)
        pause = POLL_SECONDS[0]
        while reason := kube_rules.not_ready(live):
            if time.monotonic() > deadline or self._cancelled.wait(pause):
                message = f"{_display_name(live, resource)} is not ready: {reason}."
                raise InitFailedError(_resource_id(live), kube_rules.outputs(live, manager), message)
            pause = min(pause * 1.5, POLL_SECONDS[1])
            response = api.get(path)
            self._raise_unless_ok(response, resource, "cannot be read")
            live = response.body
        return live

    def _delete(self, api: "Api", resource: Resource, inputs: Object, uid: str | None) -> None:
        identity = _identity_of(resource, inputs)
        path = api.path(*kube_rules.identity(identity, self._namespace))
        if path is None:
            return
        propagation = kube_rules.annotation(inputs, kube_rules.PROPAGATION).capitalize() or "Foreground"
        response = api.delete(path, propagation, uid)
        if response.status == 404 or (response.status == 409 and "UID" in response.message):
            return  # gone, or in the meantime somebody else's object of the same name
        self._log_warnings(response, resource)
        self._raise_unless_ok(response, resource, "cannot be deleted")
        if kube_rules.annotation(inputs, kube_rules.SKIP_AWAIT) == "true":
            return
        self._wait_until_gone(api, path, resource, uid)

    def _wait_until_gone(self, api: "Api", path: str, resource: Resource, uid: str | None) -> None:
        deadline = time.monotonic() + (resource.timeout or AWAIT_SECONDS)
        pause = POLL_SECONDS[0]
        while (response := api.get(path)).status != 404 and uid in (None, at(response.body, ("metadata", "uid"))):
            if time.monotonic() > deadline or self._cancelled.wait(pause):
                finalizers = ", ".join(at(response.body, ("metadata", "finalizers")) or ()) or "none"
                raise ProviderError(f"{resource.id} is still there; its finalizers are: {finalizers}.")
            pause = min(pause * 1.5, POLL_SECONDS[1])

    # -- responses -----------------------------------------------------------------------------------------------

    def _log_warnings(self, response: "Response", resource: Resource) -> None:
        for warning in response.warnings:
            if self._flag("suppressDeprecationWarnings") and "deprecated" in warning:
                continue
            self._engine.warn(warning, resource.urn)

    def _raise_unless_ok(
        self, response: "Response", resource: Resource, what: str, inputs: Object | None = None
    ) -> None:
        if response.ok:
            return
        advice = f" {CONFLICT_ADVICE}" if response.status == 409 and "conflict" in response.message else ""
        subject = _display_name(inputs, resource) if inputs else resource.id or resource.name
        raise ProviderError(f"{subject} {what} by the API server: {' '.join(response.message.split())}{advice}")


def _display_name(inputs: Object, resource: Resource) -> str:
    metadata: dict[str, Any] = inputs.get("metadata") or {}
    name = "/".join(part for part in (metadata.get("namespace"), metadata.get("name") or resource.name) if part)
    return f"{inputs.get('kind')} {name}"


def _resource_id(live: Object) -> str:
    metadata = live["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else str(metadata["name"])


def _identity_of(resource: Resource, inputs: Object) -> Object:
    """Return the object's identity from its id (`namespace/name` or `name`), with the inputs' kind or the type's."""
    namespace, _, name = resource.id.rpartition("/")
    version, kind = resource.type.split(":")[1:]
    return {
        "apiVersion": inputs.get("apiVersion") or version.removeprefix("core/"),
        "kind": inputs.get("kind") or kind,
        "metadata": {"name": name, "namespace": namespace or at(inputs, ("metadata", "namespace"))},
    }


def _without_identity(live: Object, manager: str) -> Object:
    """Return the object of a dry run without the fields that will differ in the real one."""
    kept = kube_rules.outputs(live, manager)
    kept["metadata"] = {key: value for key, value in kept["metadata"].items() if key not in kube_rules.SERVER_FIELDS}
    kept.pop("status", None)
    return kept


def main() -> None:
    """Serve until the engine ends this process."""
    serve(Kubernetes(), sys.argv[1:])


if __name__ == "__main__":
    main()
