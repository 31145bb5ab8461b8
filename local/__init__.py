"""What `make up` starts on this machine: services, a cluster, a builder, and the stack on them."""
