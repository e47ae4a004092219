"""``jwtguard serve``: the guard behind a proxy's question (forward-auth).

nginx ``auth_request``, Caddy ``forward_auth``, Traefik ``ForwardAuth`` and Envoy ``ext_authz`` ask
whether a request may pass before they hand it on. `app` is the ASGI app that answers them,
`original` reads the request that they ask about, `proxies` says whom to believe, `policies` reads
the files, and `run` starts uvicorn.
"""
