// A certified OpenID provider on loopback that does as it is told.
//
// Each line on stdin is a JSON object of settings to take over; each is answered by one line on
// stdout: how often each path was asked for. Settings:
//
//   port       where to listen; only in the first line
//   keys       private JWKs; the first one that fits an algorithm signs
//   clients    client metadata (OpenID Connect Dynamic Client Registration 1.0, section 2)
//   inspectors ids of the clients that may introspect the tokens of others
//   resources  what is issued for each resource indicator (RFC 8707): { alg, ttl, kept };
//              without alg the token is opaque
//   people     the claims of those who may sign in, by the name that they type (any password)
//   lean       an ID token holds no claims about the person: they are the userinfo endpoint's
//   renewing   a client with the grant gets a refresh token without asking for offline_access;
//              each of them is used once
//   pushed     take pushed authorization requests (RFC 9126)
//   tls        { key, cert } as PEM: https instead of http; only in the first line
//   published  a JWK Set to show instead of the one that goes with the keys
//   silent     take requests and never answer
//
// The process ends with its stdin, so it never outlives whoever started it.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { createInterface } from 'node:readline';

import { Provider, errors } from 'oidc-provider';

console.info = console.error; // stdout is for the answers

const settings = {
  keys: [], clients: [], inspectors: [], resources: {}, published: null, silent: false,
  people: {}, lean: true, renewing: false, pushed: true, tls: null,
};
const hits = {};
const stored = new Map(); // by model and id
const twins = new Map(); // a JWT that is kept -> the opaque token that stands for it

// What was stored stays when the keys change, which takes another Provider.
class Store {
  constructor(model) { this.model = model; }

  key(id) { return `${this.model}:${id}`; }

  async upsert(id, payload) { stored.set(this.key(id), payload); }

  async find(id) { return stored.get(this.key(id)); }

  async findByUid(uid) { return this.all().find((payload) => payload.uid === uid); }

  async consume(id) { stored.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }

  async destroy(id) { stored.delete(this.key(id)); }

  async revokeByGrantId(grantId) {
    for (const [key, payload] of stored) if (payload.grantId === grantId) stored.delete(key);
  }

  all() { return [...stored].filter(([key]) => key.startsWith(`${this.model}:`)).map(([, it]) => it); }
}

function resourceServer(resource, { alg, ttl }) {
  return {
    audience: resource,
    scope: 'read write',
    accessTokenTTL: ttl ?? 3600,
    accessTokenFormat: alg ? 'jwt' : 'opaque',
    ...(alg && { jwt: { sign: { alg } } }),
  };
}

// The provider forgets a JWT once it is issued, and neither introspects nor revokes any. Others do:
// for a resource that is "kept", an opaque token with the same life is what both endpoints see.
async function keepTokens(ctx, next) {
  const asked = ctx.path === '/token/introspection' || ctx.path === '/token/revocation';
  if (ctx.method === 'POST' && asked) {
    const chunks = [];
    for await (const chunk of ctx.req) chunks.push(chunk);
    const form = Object.fromEntries(new URLSearchParams(Buffer.concat(chunks).toString()));
    ctx.req.body = { ...form, token: twins.get(form.token) ?? form.token };
  }
  await next();
  const { ClientCredentials: token } = ctx.oidc?.entities ?? {};
  if (ctx.path === '/token' && settings.resources[token?.aud]?.kept && ctx.status === 200) {
    const { ClientCredentials, ResourceServer } = ctx.oidc.provider;
    const { client } = ctx.oidc;
    const { scope, expiration } = token;
    const twin = new ClientCredentials({ client, scope, expiresIn: expiration });
    twin.resourceServer = new ResourceServer(token.aud, resourceServer(token.aud, {}));
    twins.set(ctx.body.access_token, await twin.save());
  }
}

function provide(issuer) {
  const provider = new Provider(issuer, {
    adapter: Store,
    clients: settings.clients,
    clientDefaults: { id_token_signed_response_alg: settings.keys[0].alg }, // one there is a key for
    jwks: { keys: settings.keys },
    scopes: ['openid', 'offline_access', 'read', 'write'],
    claims: {
      openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'roles'],
    },
    conformIdTokenClaims: settings.lean,
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
    cookies: { keys: ['of a provider on loopback'] },
    fetch: (url, { dispatcher, ...options }) => fetch(url, options), // that one refuses loopback
    findAccount: (ctx, id) => settings.people[id] && {
      accountId: id, claims: () => ({ sub: id, ...settings.people[id] }),
    },
    issueRefreshToken: (ctx, client, source) => client.grantTypeAllowed('refresh_token')
      && (settings.renewing || source.scopes.has('offline_access')),
    rotateRefreshToken: true,
    ttl: {
      ClientCredentials: (ctx, token) => token.resourceServer?.accessTokenTTL ?? 3600,
      AccessToken: 3600, AuthorizationCode: 60, Grant: 3600, IdToken: 3600, Interaction: 600,
      RefreshToken: 3600, Session: 3600,
    },
    features: {
      backchannelLogout: { enabled: true },
      clientCredentials: { enabled: true },
      devInteractions: { enabled: true }, // pages that need no script
      introspection: {
        enabled: true,
        allowedPolicy: (ctx, client, token) => (
          settings.inspectors.includes(client.clientId) || client.clientId === token.clientId
        ),
      },
      pushedAuthorizationRequests: { enabled: settings.pushed },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo(ctx, resource) {
          const wanted = settings.resources[resource];
          if (!wanted) throw new errors.InvalidTarget();
          return resourceServer(resource, wanted);
        },
      },
      revocation: {
        enabled: true,
        allowedPolicy: (ctx, client, token) => client.clientId === token.clientId,
      },
    },
  });
  provider.use(keepTokens);
  provider.on('server_error', (ctx, error) => console.error(error));
  provider.on('backchannel.error', (ctx, error) => console.error(error));
  return provider.callback();
}

let answer;
let server;

function receive(request, response) {
  const { pathname } = new URL(request.url, 'http://localhost');
  hits[pathname] = (hits[pathname] ?? 0) + 1;
  if (settings.silent) return;
  if (pathname === '/jwks' && settings.published) {
    response.setHeader('Content-Type', 'application/jwk-set+json');
    response.end(JSON.stringify(settings.published));
  } else {
    answer(request, response);
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const changes = JSON.parse(line);
  Object.assign(settings, changes);
  const { tls, port } = settings;
  if (!server) {
    server = tls ? createSecureServer(tls, receive) : createServer(receive);
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  }
  if (Object.keys(changes).length) answer = provide(`http${tls ? 's' : ''}://127.0.0.1:${port}`);
  process.stdout.write(`${JSON.stringify(hits)}\n`);
}
process.exit();
