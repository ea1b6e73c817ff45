"""What a person reads after a run: pictures and pages, made from arrays and tables."""
