import { describe, expect, it } from '@jest/globals';
import { loadConfig } from './config.js';

const secret = (name: string) => `${name}-0123456789-abcdefghijklmnopqrstuvwxyz`;
const SECRETS = {
  JWT_SECRET: secret('jwt'),
  API_KEY_PEPPERS: `1:${secret('pepper')}`,
  TAG_KEYS: `1:${secret('tag')}`,
  RESERVATION_KEY: secret('reservation'),
  AUDIT_KEY: secret('audit'),
};
const PROVIDER = {
  OIDC_ISSUER: 'https://login.example.com',
  OIDC_JWKS_URI: 'https://login.example.com/jwks',
  OIDC_AUDIENCE: 'latchkey',
};
const oidcOf = (variables: Record<string, string>) => loadConfig({ ...SECRETS, ...variables }).oidc;

describe('an identity provider', () => {
  it('is none without its variables, and gives no sign-in without a client', () => {
    expect(oidcOf({})).toBeNull();
    expect(oidcOf(PROVIDER)).toMatchObject({ issuer: PROVIDER.OIDC_ISSUER, client: null });
  });

  it('gives one with a client, which may be public', () => {
    expect(oidcOf({ ...PROVIDER, OIDC_CLIENT_ID: 'console' })?.client).toEqual({
      id: 'console',
      secret: null,
      scopes: 'openid profile email',
      name: 'your company account',
    });
    expect(
      oidcOf({
        ...PROVIDER,
        OIDC_CLIENT_ID: 'console',
        OIDC_CLIENT_SECRET: 'x',
        OIDC_SCOPES: 'openid groups',
        OIDC_NAME: 'Example',
      })?.client,
    ).toEqual({ id: 'console', secret: 'x', scopes: 'openid groups', name: 'Example' });
  });

  it('takes its tokens of any client, or of those that are listed', () => {
    expect(oidcOf(PROVIDER)?.allowedClients).toBeNull();
    expect(oidcOf({ ...PROVIDER, OIDC_ALLOWED_CLIENTS: 'ci, api://billing ,ci' })?.allowedClients).toEqual(
      new Set(['ci', 'api://billing']),
    );
  });

  it.each([
    [{ OIDC_ISSUER: PROVIDER.OIDC_ISSUER }, /must be given together/],
    [{ OIDC_ALLOWED_CLIENTS: 'ci' }, /OIDC_ALLOWED_CLIENTS needs OIDC_ISSUER/],
    [{ ...PROVIDER, OIDC_ALLOWED_CLIENTS: ' , ' }, /OIDC_ALLOWED_CLIENTS must be a comma-separated list of client ids/],
    [{ OIDC_CLIENT_ID: 'console' }, /OIDC_CLIENT_ID needs OIDC_ISSUER/],
    [{ ...PROVIDER, OIDC_CLIENT_SECRET: 'x' }, /OIDC_CLIENT_SECRET needs OIDC_CLIENT_ID/],
    [{ OIDC_CLIENT_SECRET: 'x' }, /OIDC_CLIENT_SECRET needs OIDC_CLIENT_ID/],
    [
      { ...PROVIDER, OIDC_CLIENT_ID: 'console', OIDC_SCOPES: 'profile' },
      /OIDC_SCOPES must be a list .* that contains openid/,
    ],
  ])('stops the start with what is missing in %j', (variables, message) => {
    expect(() => oidcOf(variables as Record<string, string>)).toThrow(message);
  });
});
