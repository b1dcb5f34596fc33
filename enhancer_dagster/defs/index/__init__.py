"""The similar-ticket index as assets, one partition a tenant: pulls, embeddings, snapshot, quality."""
