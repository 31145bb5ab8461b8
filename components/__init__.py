"""Pulumi component resources, one a file. They take frozen arguments and never read configuration."""
