"""A model in files that others take."""
