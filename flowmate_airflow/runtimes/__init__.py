"""Where a step's image runs: start it, feed it, read it, stop it, clean up. Knows no Airflow."""
