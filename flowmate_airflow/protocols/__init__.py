"""How FlowMate talks to an image: configuration in, events out. Knows no Airflow and no container engine."""
