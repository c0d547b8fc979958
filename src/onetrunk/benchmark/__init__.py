"""The benchmark: strategies x tasks x draws of rows x seeds x adapters, a file for each cell."""
