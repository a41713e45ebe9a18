"""Reference data from YAML and CSV files to the reference topics, checked as a whole first."""
