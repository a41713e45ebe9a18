"""The local stack: a broker, PostgreSQL and ClickHouse on 127.0.0.1, without Docker."""
