"""Virtual door controllers, a seeded day of a campus, and the oracle that knows what should have happened."""
