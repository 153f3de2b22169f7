"""Process life, the same for every service: settings, clock, logs, metrics, health. It knows no segments."""
