"""From a plan to a database: batches, worker threads, the writer."""
