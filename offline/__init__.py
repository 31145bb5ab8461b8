"""What is made here where nothing can be downloaded: stand-in providers, a language host, a base image."""
