"""Access to Redis for workers and scaler, and Redis itself for a stack that brings none."""

from dataclasses import dataclass

import pulumi

from components.support.kubernetes_object import deployment_object, kubernetes_object
from config.schema import InClusterBroker, Settings
from manifests.broker import broker_secret, redis_deployment, redis_service, trigger_authentication


@dataclass(frozen=True)
class BrokerArgs:
    """What the broker needs to know. `password` is a secret output, or None where a Secret is there already."""

    settings: Settings
    password: pulumi.Output[str] | None


class Broker(pulumi.ComponentResource):
    """The password's Secret, KEDA's TriggerAuthentication where KEDA scales, and the in-cluster Redis."""

    ready: list[pulumi.Resource]
    """What workers and scalers need to be there first."""

    def __init__(self, name: str, args: BrokerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("alphaswarm:fleet:Broker", name, None, opts)
        settings, child = args.settings, pulumi.ResourceOptions(parent=self)
        self.ready = []
        if args.password is not None:
            secret = kubernetes_object(f"{name}-password", broker_secret(settings, args.password), child)
            self.ready.append(secret)
        after = pulumi.ResourceOptions(parent=self, depends_on=list(self.ready))
        if isinstance(settings.broker, InClusterBroker):
            deployment = redis_deployment(settings, settings.broker)
            kubernetes_object(f"{name}-service", redis_service(settings), child)
            deployment_object(f"{name}-redis", deployment, settings.cluster, after)
        if settings.layout == "per-queue":
            self.ready.append(kubernetes_object(f"{name}-scaler-access", trigger_authentication(settings), after))
        self.register_outputs({})
