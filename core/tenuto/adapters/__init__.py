"""Where the road meets the outside: Postgres, Kafka, files. Only `tenuto.wiring` chooses among them."""
