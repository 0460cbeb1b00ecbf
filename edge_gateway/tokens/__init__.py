"""Access tokens: who is calling, by JWTs of the issuers that the settings name."""
