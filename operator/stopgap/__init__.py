"""Stopgap: a Kubernetes operator that stops the bleeding first."""
