"""The similar-ticket index: corpus, embedding, build, query. Nothing here imports dagster.

What ticket runs need (`query`, `snapshot` and what they open) imports neither torch nor pandas.
"""
