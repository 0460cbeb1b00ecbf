"""What somebody would take instead, started beside the product and measured in turns with it."""
