"""Redis, the fleet's broker: one of the stack's own for trying things out, or one that somebody else runs."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field, StrictBool, StrictInt

from config.errors import Section
from config.pods import DATA_KEY, ObjectName, SecretOrConfigMap

HOST: Final = r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$"
IN_CLUSTER_REDIS_PORT: Final = 6379
PASSWORD: Final = "password"  # noqa: S105 the key's name

Port = Annotated[StrictInt, Field(ge=1, le=65535)]
Database = Annotated[StrictInt, Field(ge=0, le=15)]


class SecretKey(Section):
    """One key of a Secret that is there already."""

    secret: ObjectName = Field(description="name of the Secret")
    key: str = Field(pattern=DATA_KEY, description="the key in it")


class Authority(SecretOrConfigMap):
    """The certificate authority of a server, in PEM, in a Secret or ConfigMap that is there already."""

    key: str = Field("ca.crt", pattern=DATA_KEY, description="the key in it")


class ExternalSecretSource(Section):
    """Where the External Secrets operator, which must be in the cluster, finds the password."""

    store: ObjectName = Field(description="name of the store")
    store_kind: Literal["ClusterSecretStore", "SecretStore"] = Field(
        "ClusterSecretStore", description="the store's kind; a SecretStore is in the fleet's namespace"
    )
    key: str = Field(min_length=1, description="the secret's name in the store")
    property: str | None = Field(None, min_length=1, description="the part of it, where it is JSON")
    refresh_interval: str = Field(
        "1h", pattern=r"^[1-9][0-9]*(s|m|h)$", description="how often the operator looks for a new one"
    )


class InClusterBroker(Section):
    """A Redis of the stack's own, without persistent storage: for trying things out."""

    kind: Literal["in-cluster"] = Field(description="`in-cluster`")
    image: str = Field("docker.io/library/redis:7.4", min_length=1, description="Redis' image")
    scaler_address: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9.-]+:[0-9]+$",
        description="host:port that KEDA dials where it does not run in the cluster",
    )
    database: Database = Field(0, description="Redis database of the queues")
    result_database: Database = Field(1, description="Redis database of the results")

    # What only an external one may be: traffic stays in the namespace, and the stack makes the password's Secret.
    tls: ClassVar[bool] = False
    user: ClassVar[None] = None
    passwordless: ClassVar[bool] = False
    existing_secret: ClassVar[None] = None
    existing_secret_key: ClassVar[str] = PASSWORD
    external_secret: ClassVar[None] = None
    ca: ClassVar[None] = None
    result_url: ClassVar[None] = None
    scaler_authentication: ClassVar[None] = None


class ExternalBroker(Section):
    """A Redis that somebody else runs. Its password: `fleet:brokerPassword`, a Secret that is there or is fetched."""

    kind: Literal["external"] = Field(description="`external`")
    host: str = Field(pattern=HOST, description="fully qualified: KEDA dials from a namespace of its own")
    port: Port = Field(6379, description="TCP port")
    tls: StrictBool = Field(True, description="whether the connection is encrypted")
    ca: Authority | None = Field(None, description="the server's certificate authority, where it is not a public one")
    user: str | None = Field(None, pattern=r"^[\w.-]+$", description="ACL user; without it Redis' default user")
    passwordless: StrictBool = Field(False, description="whether Redis asks for no password")
    existing_secret: ObjectName | None = Field(None, description="name of a Secret in the namespace with the password")
    existing_secret_key: str = Field(PASSWORD, pattern=DATA_KEY, description="the password's key in it")
    external_secret: ExternalSecretSource | None = Field(
        None, description="where the External Secrets operator fetches the password from"
    )
    database: Database = Field(0, description="Redis database of the queues")
    result_database: Database = Field(1, description="Redis database of the results")
    result_url: SecretKey | None = Field(
        None, description="where the URL of another result backend is, in place of the broker's `resultDatabase`"
    )
    scaler_authentication: ObjectName | None = Field(
        None,
        description="name of a ClusterTriggerAuthentication that gives KEDA `password` (and `ca`), in place of the "
        "fleet's own TriggerAuthentication",
    )

    refused: ClassVar[Mapping[str, str]] = {
        "password": "is a secret: pulumi config set --secret fleet:brokerPassword, or name a Secret in existingSecret; "
        "treat the old one as known",
        "url": "would hold a password; give host, port, tls and user, and the password as a secret",
        "sentinel": "is not supported: kombu's Sentinel transport is another one than the fleet's, which keeps tasks; "
        "give a host that follows the primary",
        "sentinelMaster": "is not supported: kombu's Sentinel transport is another one than the fleet's, which keeps "
        "tasks; give a host that follows the primary",
        "cluster": "is not supported: kombu has no transport for Redis in cluster mode; give a single primary",
        "tlsServerName": "is not supported: KEDA's redis scaler verifies the host's own name; give a host that the "
        "certificate names",
        "unsafeSsl": "is not supported: whoever is in between could read and forge tasks; name the authority in ca",
    }


Broker = Annotated[InClusterBroker | ExternalBroker, Field(discriminator="kind")]
