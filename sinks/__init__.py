"""What is stored: PostgreSQL holds the current state, ClickHouse the history."""
