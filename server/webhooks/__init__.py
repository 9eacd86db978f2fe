"""How events reach outside systems: the address that may be called, the signature, the POST."""
