"""The way out of a container that may reach the hosts of its connector's manifest only."""
