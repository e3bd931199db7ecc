"""What Alembic runs: the migrations, in the transaction of the connection that it was handed."""

from alembic import context

from flowmate_airflow.store.schema import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
context.run_migrations()
