"""Services of others that the server calls."""
