"""The v3 API: one module a resource, each a table of routes onto plain functions."""
