"""The proof: databases compared with their sources or with digests."""
