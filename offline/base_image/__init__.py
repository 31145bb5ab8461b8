"""A base image of Debian packages that stands in for Wolfi."""
