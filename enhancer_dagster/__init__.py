"""Enhances ServiceDesk Plus tickets: see README.md, and `definitions.py` for what Dagster loads."""
