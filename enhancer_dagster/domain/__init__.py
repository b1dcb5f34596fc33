"""What the product is about, in pure Python: no network, no database, no dagster.

The outside is named in `ports` and reached through `adapters`.
"""
