"""Small modules that every command on this machine shares; the Pulumi program imports none of them."""
