"""What `make bench` runs: the budgets as ratios against peers, each pair measured in turns in the same run."""
