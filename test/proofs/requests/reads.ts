import type { ProofCluster } from '../harness/cluster.js';

/** A request that must succeed. */
export interface WellFormed {
  readonly method: string;
  /** From the root, with its query. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** Of every operation that changes nothing of the management plane, a request that must succeed. */
export async function reads(cluster: ProofCluster): Promise<WellFormed[]> {
  const gateway = await cluster.createKey({ roles: ['gateway'] });
  const key = await cluster.createKey({ name: 'Read by G25', scopes: ['chat'], budgetLimitCents: 100 });
  const shared = await projectsAndLimits(cluster, key.id);
  const me = await cluster.replica(0).client.request('GET', '/api/v1/auth/me', { token: cluster.adminToken });
  const reservations = await endsAndRenewals(cluster, gateway.secret, key.secret);
  const asAdmin = { authorization: `Bearer ${cluster.adminToken}` };
  const json = { 'content-type': 'application/json' };
  const get = (path: string): WellFormed => ({ method: 'GET', target: `/api/v1${path}`, headers: asAdmin });
  const post = (path: string, body: object): WellFormed => ({
    method: 'POST',
    target: `/api/v1${path}`,
    headers: { ...json, 'x-api-key': gateway.secret },
    body: JSON.stringify(body),
  });
  const asGateway = (path: string): WellFormed => ({
    method: 'GET',
    target: `/api/v1${path}`,
    headers: { 'x-latchkey-gateway-key': gateway.secret, 'x-api-key': key.secret },
  });
  const probe = (path: string): WellFormed => ({ method: 'GET', target: path, headers: {} });
  return [
    ...shared.map(get),
    get('/roles'),
    get('/roles/admin'),
    get('/permissions'),
    get('/audit-events'),
    get('/audit-events/export'),
    get('/audit-events/stream'),
    { ...get('/audit-events/verify'), method: 'POST' },
    get('/users'),
    get(`/users/${me.body.user.id}`),
    get(`/users/${me.body.user.id}/sessions`),
    get(`/users/${me.body.user.id}/limits`),
    get('/auth/me'),
    get('/auth/second-factor'),
    get('/api-keys'),
    get('/api-keys/facets'),
    get('/api-keys/export'),
    get(`/api-keys/${key.id}`),
    get(`/api-keys/${key.id}/usage`),
    get(`/api-keys/${key.id}/limits`),
    get(`/api-keys/${key.id}/refusals`),
    get(`/api-keys/${key.id}/usage/series`),
    { ...get(`/api-keys/${key.id}/explain`), method: 'POST', headers: { ...asAdmin, ...json }, body: '{}' },
    get('/system/replicas'),
    get('/usage/summary'),
    get('/usage/refusals'),
    get(`/usage/events?keyId=${key.id}`),
    get('/usage/budget-forecasts'),
    post('/verify', { key: key.secret }),
    post('/verify/batch', { items: [{ key: key.secret }] }),
    post('/usage', { events: [{ id: 'g25', apiKeyId: key.id, costCents: 0.5 }] }),
    ...reservations.map(([path, body]) => post(path, body)),
    {
      method: 'POST',
      target: '/api/v1/introspect',
      headers: { 'content-type': 'application/x-www-form-urlencoded', 'x-api-key': gateway.secret },
      body: new URLSearchParams({ token: key.secret }).toString(),
    },
    asGateway('/forward-auth'),
    asGateway('/ext-authz'),
    asGateway('/ext-authz/v1/chat'),
    probe('/health'),
    probe('/health/live'),
    probe('/health/ready'),
    { ...probe('/metrics'), headers: { authorization: `Bearer ${cluster.setting('METRICS_TOKEN')}` } },
  ];
}

/** What ends a reservation, and what holds another one for longer. */
async function endsAndRenewals(cluster: ProofCluster, apiKey: string, key: string): Promise<[string, object][]> {
  const reserve = async (terms: object): Promise<string> => {
    const { client } = cluster.replica(0);
    const { body } = await client.post('/verify', { apiKey, body: { key, reserveCents: 1, ...terms } });
    return body.reservation.id;
  };
  return [
    ['/reservations/release', { reservationId: await reserve({}) }],
    ['/reservations/renew', { reservationId: await reserve({ reservationTtlSeconds: 600 }), ttlSeconds: 600 }],
  ];
}

/** Paths of a project, and of limits that bind a key. */
async function projectsAndLimits(cluster: ProofCluster, keyId: string): Promise<string[]> {
  const make = async (path: string, body: object): Promise<string> =>
    (await cluster.replica(0).client.post(path, { token: cluster.adminToken, body })).body.id;
  const project = await make('/projects', { name: 'Read by G25', alias: 'g25' });
  const weekly = { amountCents: 1000, per: 'week' };
  const limit = await make('/limits', { ...weekly, name: 'Read by G25', target: { kind: 'key', id: keyId } });
  const each = await make('/limits', { ...weekly, name: 'Each key', target: { kind: 'installation' }, each: 'key' });
  return [
    ...['', `/${project}`, `/${project}/limits`, '/by-alias/g25', `/${project}/usage/summary`].map(
      (path) => `/projects${path}`,
    ),
    ...[
      '',
      '/export',
      `/${limit}`,
      `/${limit}/accounts`,
      `/${limit}/accounts/export`,
      `/${each}/accounts/${keyId}`,
    ].map((path) => `/limits${path}`),
  ];
}
