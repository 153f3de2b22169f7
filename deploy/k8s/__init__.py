"""The manifests of a Kubernetes deployment, and the tables that some of them are written from."""
