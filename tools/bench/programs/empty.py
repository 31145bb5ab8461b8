"""A program without resources: what it costs is the engine and the SDK."""

import pulumi

pulumi.export("nothing", None)
