"""Speed, latency, training time and transfer: each module prints a table and writes JSON."""
