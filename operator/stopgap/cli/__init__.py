"""`kubectl stopgap`: what people ask and say. Talks to the API server like any client; needs the extra `[cli]`."""
