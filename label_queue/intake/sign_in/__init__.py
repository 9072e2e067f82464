"""Signing people in by an OpenID provider: authorization code flow with PKCE, state and nonce.

    browser   GET /sign-in?next=/owner ─▶ flow.begin     [the discovery document, kept for an hour]
                  │ 303, with the attempt in a cookie: state, nonce, code verifier, page
    provider  asks who they are
                  │ 303 to /sign-in/callback, with state and code
    browser   GET /sign-in/callback ──▶ flow.finish      [the cookie's state; then the provider:
                                           │              code and verifier for an ID token]
                                        id_token         [its keys: signature, issuer, audience,
                                           │ OutsideIdentity           expiry, nonce]
    queue                           people.sign_in       [who may come in; the session, on disk]
                  │ 303 to the page, with the session's cookie, as a link gives it

What the intake keeps of an attempt is in the browser alone, signed, so a restarted intake takes up
what the one before began.
"""
