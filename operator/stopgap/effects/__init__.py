"""The only floor with I/O: everything that talks to the API server or the world, and the loop around it."""
