"""One stack's fleet: read the configuration, make sure of the cluster, declare everything, say what stands where."""

import pulumi

from components.fleet import Fleet, FleetArgs
from components.support.providers import providers
from config.loading import load
from config.preflight import check_cluster

settings, secrets = load()
check_cluster(settings)

fleet = Fleet("alphaswarm", FleetArgs(settings, secrets), pulumi.ResourceOptions(providers=providers(settings)))

for name, value in fleet.outputs.items():
    pulumi.export(name, value)
