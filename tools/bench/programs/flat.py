"""The flat program: registers the resources of resources.json, with our program's inputs, without components."""

import json
from pathlib import Path

import pulumi

RESOURCES = json.loads((Path(__file__).parent / "resources.json").read_text())
PROVIDER = "pulumi:providers:"

providers: dict[str, pulumi.ProviderResource] = {}
for one in RESOURCES:
    kind, name, inputs = one["type"], one["name"], one["inputs"]
    if kind.startswith(PROVIDER):
        package = kind.removeprefix(PROVIDER)
        version = pulumi.ResourceOptions(version=inputs.pop("version"))
        providers[package] = pulumi.ProviderResource(package, name, inputs, version)
    elif kind == "pulumi:pulumi:StackReference":
        pulumi.StackReference(name, stack_name=inputs["name"])
    else:
        options = pulumi.ResourceOptions(provider=providers[kind.partition(":")[0]])
        pulumi.CustomResource(kind, name, inputs, options)
