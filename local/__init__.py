"""What `make up` starts on a machine without a cloud account; the program itself knows nothing of it."""
