"""A language host that stands in for the released one."""
