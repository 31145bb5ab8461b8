"""A program that registers nothing: what the engine and the SDK cost by themselves."""

import pulumi

pulumi.export("nothing", None)
