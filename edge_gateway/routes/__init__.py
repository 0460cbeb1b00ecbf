"""The REST routes. Each file holds one noun's routes: contract JSON in, calls, contract JSON out."""
