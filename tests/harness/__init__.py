"""What tests stand on: databases cloned from a template, real processes, a guarded network. No tests in here."""
