"""The pure core: from facts to a decision. No clock, no I/O, no randomness: the same input gives the same answer."""
