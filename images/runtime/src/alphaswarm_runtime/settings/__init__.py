"""What a process is told: environment, catalogue, credentials, and the application's settings as enforced."""
