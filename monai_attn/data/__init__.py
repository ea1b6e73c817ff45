"""Reading scans and cases, writing label maps, and the synthetic phantom; without torch."""
