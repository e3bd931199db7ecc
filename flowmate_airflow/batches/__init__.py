"""Messages, and how a batch of them goes from step to step. Knows no Airflow but its ObjectStoragePath."""
