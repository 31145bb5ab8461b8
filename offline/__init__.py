"""Stand-ins for what some machines cannot download: Pulumi's providers, its language host, the Wolfi base image."""
