import { createHash } from 'node:crypto';
import { systemCaller } from '../../../../src/access/caller.js';
import { Changes } from '../../../../src/audit/changes.js';
import { Identities } from '../../../../src/users/identities.service.js';
import type { Answer, TestApp } from '../../../support/app.js';

/** Ids of what `makeTrail` has made. */
export interface MadeThings {
  readonly user: string;
  readonly project: string;
  readonly key: string;
  readonly rotated: string;
  readonly imported: string;
}

/** Makes and changes things of every kind that the trail tells of, over the API. */
export async function makeTrail(app: TestApp, token: string): Promise<MadeThings> {
  const send = sending(app, token);
  await send('POST', '/roles', { name: 'helper', permissions: ['platform:users:read'], description: 'Helps' });
  await send('POST', '/roles', { name: 'short-lived' });
  await send('DELETE', '/roles/short-lived');
  const ada = { name: 'Ada', email: 'ada@latchkey.test', password: 'a password of Ada', roles: ['helper'] };
  const user = (await send('POST', '/users', ada)).id as string;
  await send('PATCH', `/users/${user}`, { name: 'Ada L.' });
  const project = (await send('POST', '/projects', { name: 'Search' })).id as string;
  await send('PUT', `/projects/${project}/members/${user}`, { role: 'member' });
  await send('PATCH', `/projects/${project}`, { description: 'Finds' });
  const service = (await send('POST', '/users', { name: 'Robot', kind: 'service', managerIds: [user] })).id as string;
  const key = (
    await send('POST', '/api-keys', {
      ownerId: service,
      name: 'A key',
      alias: 'a',
      scopes: ['chat'],
      budgetLimitCents: 5,
      budgetType: 'total',
      metadata: { a: 'b' },
      tags: ['t:1'],
      allowedIps: ['192.0.2.0/24'],
      allowedModels: ['m'],
      allowedChatbots: ['c'],
      expiresAt: '2999-01-01T00:00:00Z',
      rateLimitPerMinute: 5,
    })
  ).apiKey.id as string;
  for (const n of [6, 7, 8]) await send('PATCH', `/api-keys/${key}`, { rateLimitPerMinute: n });
  const { rotated, imported } = await makeSecrets(send, service);
  const left = (await send('POST', '/users', { name: 'Gone', email: 'gone@latchkey.test', roles: ['user', 'helper'] }))
    .id;
  await send('DELETE', `/users/${left}`);
  await app.app.get(Identities, { strict: false }).admit(systemCaller('users:create'), {
    issuer: 'https://idp.test',
    subject: 'bob',
    email: null,
    isEmailVerified: false,
    name: 'Bob',
    roles: ['user'],
    issuedAt: 1,
  });
  await addEntries(app, 40);
  return { user, project, key, rotated, imported };
}

type Send = (method: string, path: string, body?: object) => Promise<Answer['body']>;

function sending(app: TestApp, token: string): Send {
  return async (method, path, body) => {
    const answer = await app.request(method, path, { token, ...(body === undefined ? {} : { body }) });
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
}

/** Keys whose secrets the trail names: rotated, imported, and of a key that is gone. */
async function makeSecrets(send: Send, service: string): Promise<Pick<MadeThings, 'rotated' | 'imported'>> {
  const rotated = (await send('POST', '/api-keys', { name: 'Of the admin' })).apiKey.id as string;
  for (const overlapSeconds of [3600, 0]) await send('POST', `/api-keys/${rotated}/regenerate`, { overlapSeconds });
  await send('POST', `/api-keys/${rotated}/deactivate`);
  await send('POST', `/api-keys/${rotated}/activate`);
  const sha256 = createHash('sha256').update('sk-old-0123456789').digest('hex');
  const keys = [{ sha256, prefix: 'sk-old', ownerId: service }];
  const imported = (await send('POST', '/api-keys/import', { keys })).results[0].id as string;
  const gone = (await send('POST', '/api-keys', { name: 'to be deleted' })).apiKey.id as string;
  await send('POST', `/api-keys/${gone}/revoke`);
  await send('DELETE', `/api-keys/${gone}/permanent`);
  return { rotated, imported };
}

/** Adds entries that tell of nothing that lasts. */
export async function addEntries(app: TestApp, count: number): Promise<void> {
  const changes = app.app.get(Changes, { strict: false });
  for (let left = count; left > 0; left -= 100) {
    await changes.transaction(systemCaller('test:write'), async ({ record }) => {
      for (let n = 0; n < Math.min(left, 100); n += 1)
        record({ resourceType: 'test', resourceId: null, details: { n, text: 'ü😀"\\' } });
    });
  }
}
