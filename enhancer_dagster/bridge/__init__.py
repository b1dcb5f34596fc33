"""The webhook service, a process of its own: verification, the queue in PostgreSQL and its HTTP interfaces.

Nobody else touches the schema `bridge`. Of the rest of the product it knows the domain and the tenants.
"""
