"""A tiny Dagster deployment for the tests of the warm run launcher."""
