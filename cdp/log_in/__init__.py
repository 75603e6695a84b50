"""How the people who work with the platform come in: password, second factor, sessions, lockouts. API keys are no part of it."""
