"""Writes the exchanges' calendars, as plain data, from a library that is kept up to date."""
