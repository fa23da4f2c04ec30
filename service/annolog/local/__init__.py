"""One machine to a running annolog: PostgreSQL, Kafka, and who watches over them."""
