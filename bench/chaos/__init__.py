"""Kills the real system wherever it can be killed, and checks every ticket against the promise.

Nothing of the product is patched. An observer stands where the parts of the system meet the outside and each
other: in front of the bridge's two listeners, the service desk and the LLM gateway, and at PostgreSQL. When
what it was told to wait for comes by, it sends SIGKILL to the process in question, and keeps back the request
or the answer.
"""
