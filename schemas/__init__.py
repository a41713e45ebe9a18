"""What is said: pydantic models of every message, their envelope, signatures and topics. No Kafka, no I/O."""
