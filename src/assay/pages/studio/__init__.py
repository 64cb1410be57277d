"""The studio: pages that look into run folders, also of runs that are going on."""
