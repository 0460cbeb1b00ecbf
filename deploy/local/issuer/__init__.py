"""The development token issuer: an OIDC issuer in miniature for `make run` and the tests.

It hands a token to whoever asks, so it listens on loopback only and answers only to loopback names. The edge
trusts it through the same JWKS path as any other issuer; nothing in the chat knows that it exists.

    GET  /.well-known/openid-configuration
    GET  /.well-known/jwks.json
    GET  /personas    -> {items: [Persona]}
    POST /token       {userId, role, orgId?, orgName?, orgVerified?, displayName?, avatarUrl?, email?,
                      expiresIn?} -> {token, expiresAt}
"""
