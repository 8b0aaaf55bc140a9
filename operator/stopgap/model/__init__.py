"""Words: the plain values every other floor speaks in. Nothing here does anything."""
