// A certified OpenID provider on the loopback, with pages that a browser or a plain client can go through.
//
//   node server.js NODE_MODULES [ADDRESS]
//
// It prints one line of JSON with its address, and ends with its standard input. POST /control changes settings, DELETE
// sets them as they began; both answer with what has been counted since.

import { createServer } from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const { default: Provider } = await import(pathToFileURL(join(process.argv[2], 'oidc-provider', 'lib', 'index.js')));

const initially = {
  access_ttl: 3600,
  refresh_ttl: 86400,
  code_ttl: 60,
  rotate: true,
  refresh_tokens: true,
  redirect_uris: [],
  records: [{ id: 1, name: 'Ada' }, { id: 2, name: 'Grace' }],
};
const nothing = () => ({ grants: {}, errors: [], reused: 0, revoked: 0, records: 0 });
const settings = { ...initially };
const counted = nothing();

const address = process.argv[3] ?? '127.0.0.1';
const server = createServer();
await new Promise((resolve) => server.listen(0, address, resolve));
const issuer = `http://${address}:${server.address().port}`;

const scopes = ['openid', 'offline_access', 'records.read', 'records.write'];
const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'flowmate',
      client_secret: 'the/secret+of the:client',
      grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: [`${issuer}/nowhere`],
      token_endpoint_auth_method: 'client_secret_basic',
    },
    {
      client_id: 'flowmate-post',
      client_secret: 'the-secret-in-the-body',
      grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: [`${issuer}/nowhere`],
      token_endpoint_auth_method: 'client_secret_post',
    },
    {
      client_id: 'machine',
      client_secret: 'the-secret-of-the-machine',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      token_endpoint_auth_method: 'client_secret_basic',
      scope: 'records.read records.write',
    },
  ],
  scopes,
  cookies: { keys: ['a key that signs cookies'] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    revocation: { enabled: true },
  },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  issueRefreshToken: () => settings.refresh_tokens,
  pkce: { required: () => true },
  rotateRefreshToken: () => settings.rotate,
  renderError(ctx, out) {
    ctx.type = 'html';
    ctx.body = `<!DOCTYPE html><title>Error</title><h1>${escaped(out.error)}</h1><p>${escaped(out.error_description ?? '')}</p>`;
  },
  ttl: {
    AccessToken: () => settings.access_ttl,
    AuthorizationCode: () => settings.code_ttl,
    ClientCredentials: () => settings.access_ttl,
    Grant: 86400,
    IdToken: 3600,
    Interaction: 600,
    RefreshToken: () => settings.refresh_ttl,
    Session: 86400,
  },
});

// Every installation has addresses of its own for the way back: they are registered while the provider runs.
provider.Client.prototype.redirectUriAllowed = (uri) => settings.redirect_uris.includes(uri);

provider.on('grant.success', (ctx) => {
  const grant = ctx.oidc.params.grant_type;
  counted.grants[grant] = (counted.grants[grant] ?? 0) + 1;
});
provider.on('grant.error', (ctx, error) => {
  counted.errors.push(`${ctx.oidc?.params?.grant_type}: ${error.error}`);
  if (error.error_detail === 'refresh token already used') counted.reused += 1;
});
provider.on('grant.revoked', () => { counted.revoked += 1; });
provider.on('server_error', (ctx, error) => console.error(error));

provider.use(async (ctx, next) => {
  if (ctx.path === '/control') return control(ctx);
  if (ctx.path === '/records') return records(ctx);
  if (ctx.path.startsWith('/interaction/')) return interaction(ctx);
  return next();
});

async function control(ctx) {
  if (ctx.method === 'POST') Object.assign(settings, JSON.parse(await body(ctx)));
  if (ctx.method === 'DELETE') {
    Object.assign(settings, initially);
    Object.assign(counted, nothing());
  }
  ctx.body = { settings, counted };
}

async function records(ctx) {
  counted.records += 1;
  const token = /^Bearer (.+)$/.exec(ctx.get('authorization'))?.[1] ?? '';
  const found = (await provider.AccessToken.find(token)) ?? (await provider.ClientCredentials.find(token));
  if (!found?.isValid) {
    ctx.status = 401;
    ctx.set('WWW-Authenticate', 'Bearer error="invalid_token"');
    ctx.body = { error: 'invalid_token' };
  } else if (!(found.scope ?? '').split(' ').includes('records.read')) {
    ctx.status = 403;
    ctx.body = { error: 'insufficient_scope' };
  } else {
    ctx.body = { account: found.accountId ?? found.clientId, records: settings.records };
  }
}

// One page for all: who one is, and whether the application may; with a button for yes and one for no.
async function interaction(ctx) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(ctx.req, ctx.res);
  if (ctx.method === 'GET') {
    ctx.type = 'html';
    ctx.body = `<!DOCTYPE html><html lang="en"><title>Sign in</title><body>
      <h1>Sign in to the test provider</h1>
      <p>${escaped(params.client_id)} asks for ${escaped(params.scope ?? '')}</p>
      <form method="post" action="${ctx.path}">
        <label>Name <input name="login" value="${escaped(session?.accountId ?? 'ada')}"></label>
        <button name="answer" value="allow">Allow</button>
        <button name="answer" value="deny">Deny</button>
      </form></body></html>`;
    return undefined;
  }
  const form = new URLSearchParams(await body(ctx));
  const result = form.get('answer') === 'allow'
    ? await allowed(prompt, params, session?.accountId ?? form.get('login'), grantId)
    : { error: 'access_denied', error_description: 'the person said no' };
  ctx.respond = false;
  return provider.interactionFinished(ctx.req, ctx.res, result);
}

async function allowed(prompt, params, accountId, grantId) {
  const grant = (grantId && await provider.Grant.find(grantId))
    || new provider.Grant({ accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  return { login: { accountId }, consent: { grantId: await grant.save() } };
}

async function body(ctx) {
  const pieces = [];
  for await (const piece of ctx.req) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

function escaped(text) {
  return String(text).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

server.on('request', provider.callback());
process.stdin.on('end', () => process.exit(0)).resume();
console.log(JSON.stringify({ url: issuer }));
