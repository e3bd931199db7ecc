"""What Airflow users look for: the operators of a flow's steps."""
