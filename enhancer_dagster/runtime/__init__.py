"""What keeps the system running on one machine: embedded PostgreSQL, process supervision, run workers."""
