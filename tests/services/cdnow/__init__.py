"""Real orders replayed on a real broker, and every membership change compared with SQL over the orders."""
