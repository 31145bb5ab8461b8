"""What maintainers run: benchmarks, bills of materials, scripts of continuous integration."""
