"""One unit of the plan: a broker, beat, a queue's worker or an image's."""

from dataclasses import dataclass

import pulumi

from components.support.registration import register_objects
from config.schema import Cluster
from manifests.plan import Unit as PlannedUnit


@dataclass(frozen=True)
class UnitArgs:
    """The arguments of a Unit."""

    unit: PlannedUnit
    cluster: Cluster


class Unit(pulumi.ComponentResource):
    """The objects of one unit, each after those of the unit that it depends on."""

    def __init__(self, name: str, args: UnitArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(f"alphaswarm:fleet:{args.unit.kind}", name, None, opts)
        objects = register_objects(self, args.unit, args.cluster)
        self.register_outputs({"objects": objects})
