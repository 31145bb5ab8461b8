"""Stand-ins for released Pulumi plugins, used only where those cannot be downloaded. See README.md."""
