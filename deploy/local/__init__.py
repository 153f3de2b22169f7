"""The local stack: a real Kafka broker and the five services, supervised as separate processes."""
