"""What every other package may use: text, threads, processes, files."""
