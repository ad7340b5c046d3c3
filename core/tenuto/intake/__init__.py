"""What happens to a record between the bus and the ledger, in memory: arrival, vault, judging, and ingest's own words."""
