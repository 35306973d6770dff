"""What a particular arm and particular granules are, from recordings and measurements."""
