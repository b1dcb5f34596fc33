"""The product on several hosts, which are network namespaces of this machine.

- `network`: hosts, their cables, and how both are pulled.
- `programs`: what runs on a host, as `deploy/celery` starts it.
- `system`: all of it together, ready for tickets.
- `faults`: what happens to hosts, and what is known of the runs afterwards.
- `command`: `python -m bench hosts`.
"""
