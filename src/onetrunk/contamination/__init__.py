"""Find, remove and count the rows of evaluation sets in what stage 1 trains on."""
