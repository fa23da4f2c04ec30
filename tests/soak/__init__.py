"""Hours of an observatory's work: does memory stay flat, and do tables stay lean."""
