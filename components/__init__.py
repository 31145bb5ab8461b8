"""Pulumi components, one idea a file. They take frozen arguments and never read configuration."""
