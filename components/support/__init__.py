"""What components use and is no component."""
