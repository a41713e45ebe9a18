"""The pipeline: `core` decides, `engine` runs it on Kafka through Faust, `agents` connect, `cli` starts."""
