"""Pictures and pages to check a run by, made from arrays and tables."""
