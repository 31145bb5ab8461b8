"""Redis: its address, how workers and scalers get its password, and a small one for stacks without their own.

The password is in one Secret. Workers read it as `REDIS_BROKER`, the environment name of service `redis`, purpose
`broker` in the platform's credential order; KEDA reads it through a TriggerAuthentication, never inline.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from config.broker import IN_CLUSTER_REDIS_PORT, PASSWORD, Authority, ExternalSecretSource, InClusterBroker
from config.kubernetes_objects import AUTHORITY_VOLUME
from config.schema import Settings
from manifests import Manifest
from manifests.containers import env_var, security_context
from manifests.metadata import BROKER, COMPONENT, INSTANCE, REDIS, Labels, common_labels, label_selector, object_meta

AUTHORITY_DIRECTORY = "/etc/alphaswarm/broker"
AUTHORITY_FILE = "ca.crt"
ELSEWHERE = (
    "CELERY_BROKER_URL",
    "CELERY_RESULT_BACKEND",
    "ALPHASWARM_BROKER_URL",
    "ALPHASWARM_RESULT_BACKEND",
    "ALPHASWARM_BROKER_USER",
    "ALPHASWARM_BROKER_CA",
    "REDIS_BROKER",
)
REDIS_UID = 999  # the `redis` user of the official image
REDIS_DATA = "/data"


def redis_script(print_password: str, persistence: str) -> str:
    """Return the script that starts Redis with a password, as a container's first process.

    The password goes in by standard input: every process of the node can read arguments, and the root file system is
    read-only. Each of its bytes is written in hexadecimal, since quotes and backslashes mean something in Redis'
    configuration. A here-document, not a pipe: `exec` must leave Redis as the process that gets SIGTERM.

    Args:
        print_password: a command that prints it, without a line break.
        persistence: Redis' options for it.
    """
    return rf"""
password=$({print_password} | od -An -v -tx1 | tr -d ' \n' | sed 's/../\\x&/g')
exec redis-server - --dir {REDIS_DATA} {persistence} <<CONF
requirepass "$password"
CONF
""".lstrip()


REDIS_COMMAND = redis_script('printf %s "$REDIS_PASSWORD"', '--save "" --appendonly no')


def host_and_port(settings: Settings) -> tuple[str, int]:
    """Return Redis' address for workers, fully qualified: KEDA dials from its own namespace."""
    broker = settings.broker
    if isinstance(broker, InClusterBroker):
        return f"{REDIS}.{settings.namespace}.svc.cluster.local", IN_CLUSTER_REDIS_PORT
    return broker.host, broker.port


def scaler_address(settings: Settings) -> str:
    """Return Redis' address for KEDA, as host:port; its redis scaler takes no URL."""
    broker = settings.broker
    if isinstance(broker, InClusterBroker) and broker.scaler_address is not None:
        return broker.scaler_address
    host, port = host_and_port(settings)
    return f"{host}:{port}"


def secret_name(settings: Settings) -> str:
    """Return the name of the Secret that has the password."""
    return settings.broker.existing_secret or BROKER


def broker_environment(settings: Settings) -> list[Manifest]:
    """Return Redis' part of a worker's environment.

    The runtime package composes the URLs, so that none with a password is written.
    """
    host, port = host_and_port(settings)
    broker = settings.broker
    plain: dict[str, object] = {
        "ALPHASWARM_BROKER_HOST": host,
        "ALPHASWARM_BROKER_PORT": port,
        "ALPHASWARM_BROKER_TLS": str(broker.tls).lower(),
        "ALPHASWARM_BROKER_DB": broker.database,
        "ALPHASWARM_RESULT_DB": broker.result_database,
        **({"ALPHASWARM_BROKER_USER": broker.user} if broker.user else {}),
        **({"ALPHASWARM_BROKER_CA": f"{AUTHORITY_DIRECTORY}/{AUTHORITY_FILE}"} if broker.ca else {}),
    }
    environment = [env_var(name, value) for name, value in plain.items()]
    if not broker.passwordless:
        environment.append(_from_secret("REDIS_BROKER", secret_name(settings), broker.existing_secret_key))
    if broker.result_url is not None:
        environment.append(_from_secret("CELERY_RESULT_BACKEND", broker.result_url.secret, broker.result_url.key))
    return environment


def held_empty(environment: Iterable[Manifest]) -> Iterator[Manifest]:
    """Yield empty variables in place of those that would lead the runtime to another Redis than KEDA's scalers.

    A Secret whose keys all become variables may have them, and would win: nobody sees its keys in a preview. The
    runtime takes an empty one for none.
    """
    names = {variable["name"] for variable in environment}
    return (env_var(name, "") for name in ELSEWHERE if name not in names)


def _from_secret(variable: str, secret: str, key: str) -> Manifest:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def authority_volume(authority: Authority) -> Manifest:
    """Return the volume with the certificate authority of Redis' server, as one file."""
    items = [{"key": authority.key, "path": AUTHORITY_FILE}]
    if authority.secret is not None:
        return {"name": AUTHORITY_VOLUME, "secret": {"secretName": authority.secret, "items": items}}
    return {"name": AUTHORITY_VOLUME, "configMap": {"name": authority.config_map, "items": items}}


def broker_secret(settings: Settings, password: Any) -> Manifest:  # noqa: ANN401 text, or a secret output of it
    """Return the Secret of a stack that sets the password itself."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": object_meta(settings, BROKER),
        "type": "Opaque",
        "stringData": {PASSWORD: password},
    }


def external_secret(settings: Settings, source: ExternalSecretSource) -> Manifest:
    """Return the order to the External Secrets operator to make and keep the password's Secret."""
    remote = {"key": source.key, **({"property": source.property} if source.property else {})}
    return {
        "apiVersion": "external-secrets.io/v1",
        "kind": "ExternalSecret",
        "metadata": object_meta(settings, BROKER),
        "spec": {
            "refreshInterval": source.refresh_interval,
            "secretStoreRef": {"name": source.store, "kind": source.store_kind},
            "target": {"name": BROKER, "creationPolicy": "Owner"},
            "data": [{"secretKey": PASSWORD, "remoteRef": remote}],
        },
    }


def trigger_authentication(settings: Settings) -> Manifest | None:
    """Return the TriggerAuthentication with which every scaler of the namespace gets password and authority.

    None where there is neither, or where the stack names somebody else's ClusterTriggerAuthentication.
    """
    broker = settings.broker
    if broker.scaler_authentication is not None or (broker.passwordless and broker.ca is None):
        return None
    secrets: list[Manifest] = []
    if not broker.passwordless:
        secrets.append({"parameter": "password", "name": secret_name(settings), "key": broker.existing_secret_key})
    spec: Manifest = {}
    if broker.ca is not None and broker.ca.secret is not None:
        secrets.append({"parameter": "ca", "name": broker.ca.secret, "key": broker.ca.key})
    elif broker.ca is not None:
        spec["configMapTargetRef"] = [{"parameter": "ca", "name": broker.ca.config_map, "key": broker.ca.key}]
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "TriggerAuthentication",
        "metadata": object_meta(settings, BROKER),
        "spec": {**({"secretTargetRef": secrets} if secrets else {}), **spec},
    }


def scaler_authentication(settings: Settings) -> Manifest:
    """Return a trigger's reference to what gives KEDA the password; empty where it needs nothing."""
    if name := settings.broker.scaler_authentication:
        return {"authenticationRef": {"name": name, "kind": "ClusterTriggerAuthentication"}}
    return {} if trigger_authentication(settings) is None else {"authenticationRef": {"name": BROKER}}


def redis_service(settings: Settings) -> Manifest:
    """Return the in-cluster broker's Service."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": object_meta(settings, REDIS, _labels(settings)),
        "spec": {
            "selector": {INSTANCE: REDIS},
            "ports": [{"name": "redis", "port": IN_CLUSTER_REDIS_PORT, "targetPort": "redis", "protocol": "TCP"}],
        },
    }


def redis_deployment(settings: Settings, broker: InClusterBroker) -> Manifest:
    """Return the in-cluster broker: one pod, in memory. Losing it loses the queues, so production refuses it."""
    ping = {"exec": {"command": ["sh", "-c", 'REDISCLI_AUTH="$REDIS_PASSWORD" redis-cli ping | grep -q PONG']}}
    container: Manifest = {
        "name": "redis",
        "image": broker.image,
        "command": ["sh", "-c", REDIS_COMMAND],
        "env": [_from_secret("REDIS_PASSWORD", secret_name(settings), PASSWORD)],
        "ports": [{"name": "redis", "containerPort": IN_CLUSTER_REDIS_PORT, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
        "readinessProbe": {**ping, "periodSeconds": 5, "timeoutSeconds": 3},
        "livenessProbe": {**ping, "periodSeconds": 15, "timeoutSeconds": 3, "failureThreshold": 4},
        "securityContext": security_context(),
        "volumeMounts": [{"name": "data", "mountPath": REDIS_DATA}],
    }
    pull_secrets = [{"name": name} for name in settings.pods.all.image_pull_secrets]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": object_meta(settings, REDIS, _labels(settings)),
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": label_selector(REDIS),
            "template": {
                "metadata": {"labels": _labels(settings)},
                "spec": {
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    **({"imagePullSecrets": pull_secrets} if pull_secrets else {}),
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": REDIS_UID,
                        "runAsGroup": REDIS_UID,
                        "fsGroup": REDIS_UID,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [container],
                    "volumes": [{"name": "data", "emptyDir": {"sizeLimit": "1Gi"}}],
                },
            },
        },
    }


def _labels(settings: Settings) -> Labels:
    return {**common_labels(settings), "app.kubernetes.io/name": REDIS, INSTANCE: REDIS, COMPONENT: "broker"}
