"""How Alembic reaches the database: one transaction, under an advisory lock."""

from alembic import context
from sqlalchemy import create_engine, pool, text
from sqlalchemy.engine import make_url

LOCK = 7_461_320_118
"""Any number will do, as long as nobody else locks it."""

url = make_url(context.config.attributes["url"]).set(drivername="postgresql+psycopg")
engine = create_engine(url, poolclass=pool.NullPool)
with engine.begin() as connection:
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    connection.execute(text("CREATE SCHEMA IF NOT EXISTS registry"))
    context.configure(connection=connection, version_table_schema="registry")
    with context.begin_transaction():
        context.run_migrations()
