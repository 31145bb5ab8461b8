"""Providers that stand in for the released AWS and Kubernetes ones."""
