"""The local stack: a real Kafka broker and the four services, supervised as separate processes."""
