"""Helpers of the components: providers, registration of manifests, hashes."""
