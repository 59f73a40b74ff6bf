"""What answers say of a candidate: tests, their findings, and the margins they are held to."""
