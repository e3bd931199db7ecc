"""The store: the SQL tables of what is neither Airflow's nor a file. SQLAlchemy is imported when it is opened."""
