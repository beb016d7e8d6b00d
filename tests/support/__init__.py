"""What the tests share: small data, a browser, and stand-ins for a cluster."""
