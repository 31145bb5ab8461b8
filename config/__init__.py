"""A stack's configuration, from its file to one frozen value. Nothing else reads configuration."""
