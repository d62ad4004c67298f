import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { type Answer, TestApp, type TestUser } from '../../support/app.js';
import { issueKey } from '../../support/management.js';
import { RoundTripRecorder } from '../../support/round-trips.js';

/** What a change may take; others wait for its locks. @see docs/operations.md, Far from the database */
const MAX = { count: 9, whileRowsAreLocked: 3, whileHeadIsLocked: 1 };

describe('Round trips to PostgreSQL', () => {
  let app: TestApp;
  let recorder: RoundTripRecorder;
  let admin: string;
  let person: TestUser;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    admin = await app.adminToken();
    person = await app.addUser(['creator']);
    await app.addRole('helper', ['platform:api-keys:read']);
    recorder = new RoundTripRecorder();
  });
  afterAll(async () => {
    recorder.stop();
    await app.stop();
  });

  const key = (body: Record<string, unknown> = {}) => issueKey(app, admin, { ownerId: person.id, ...body });
  const send =
    (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
    () =>
      app.request(method, path, { token: admin, headers, ...(body === undefined ? {} : { body }) });

  const CHANGES: readonly [string, () => Promise<() => Promise<Answer>>][] = [
    ['create a key', async () => send('POST', '/api-keys', { ownerId: person.id, roles: ['helper'] })],
    [
      'create a key, with an `Idempotency-Key`',
      async () => send('POST', '/api-keys', {}, { 'idempotency-key': `k-${Math.random()}` }),
    ],
    [
      'create a key by alias',
      async () => send('PUT', `/api-keys/by-alias/a${Math.floor(Math.random() * 1e9)}`, { name: 'new' }),
    ],
    ['renew a key by alias', async () => send('PUT', '/api-keys/by-alias/round-trips', { name: `n${Math.random()}` })],
    [
      'update a key',
      async () => send('PATCH', `/api-keys/${(await key()).id}`, { name: 'another', roles: ['helper'] }),
    ],
    ['deactivate a key', async () => send('POST', `/api-keys/${(await key()).id}/deactivate`)],
    [
      'renew a key',
      async () =>
        send('POST', `/api-keys/${(await key({ expiresAt: new Date(Date.now() + 3_600_000) })).id}/renew`, {}),
    ],
    [
      'regenerate a secret',
      async () => send('POST', `/api-keys/${(await key({ roles: ['helper'] })).id}/regenerate`, { overlapSeconds: 60 }),
    ],
    [
      'transfer a key',
      async () => send('POST', `/api-keys/${(await issueKey(app, admin)).id}/transfer`, { ownerId: person.id }),
    ],
    ['revoke a key', async () => send('POST', `/api-keys/${(await key()).id}/revoke`, {})],
    ['delete a key', async () => send('DELETE', `/api-keys/${(await key()).id}/permanent`)],
    [
      'create a user',
      async () => send('POST', '/users', { name: 'New', email: `u${Math.random()}@latchkey.test`, roles: ['creator'] }),
    ],
    [
      'deactivate a user',
      async () => send('PATCH', `/users/${(await app.addUser(['creator'])).id}`, { isActive: false }),
    ],
    [
      'give a user roles',
      async () => send('PUT', `/users/${(await app.addUser(['creator'])).id}/roles`, { roles: ['helper'] }),
    ],
    [
      'create a role',
      async () => send('POST', '/roles', { name: `r${Math.floor(Math.random() * 1e9)}`, permissions: [] }),
    ],
    ['update a role', async () => send('PATCH', '/roles/helper', { description: `d${Math.random()}` })],
    [
      'sign in',
      async () => () => app.post('/auth/login', { body: { email: person.email, password: person.password } }),
    ],
  ];

  /** Of one change, and as the row that docs/operations.md has for it. */
  const measure = async (change: string, prepare: (typeof CHANGES)[number][1]) => {
    const act = await prepare();
    let answer: Answer | null = null;
    const trips = await recorder.of(async () => {
      answer = await act();
    });
    expect(answer!).toMatchObject({ status: expect.any(Number) });
    expect(answer!.status).toBeLessThan(300);
    // The change itself was seen, or nothing was measured; more than one: another transaction was seen as well.
    const commits = trips.trips.flat().filter((text) => text === 'COMMIT').length;
    const { count, whileRowsAreLocked, whileHeadIsLocked } = trips;
    return { ...trips, commits, row: `| ${change} | ${count} | ${whileRowsAreLocked} | ${whileHeadIsLocked} |` };
  };

  it.each(CHANGES)('%s', async (change, prepare) => {
    const page = await readFile(new URL('../../../docs/operations.md', import.meta.url), 'utf8');
    // The first time opens connections; and what the process sends by itself may fall into one measurement, not into
    // all.
    let measured = await measure(change, prepare);
    for (let attempt = 0; attempt < 9 && !(measured.commits === 1 && page.includes(measured.row)); attempt += 1)
      measured = await measure(change, prepare);
    expect(measured.commits).toBe(1);
    expect(page).toContain(measured.row);
    const { count, whileRowsAreLocked, whileHeadIsLocked } = measured;
    expect({
      tooMany:
        count > MAX.count || whileRowsAreLocked > MAX.whileRowsAreLocked || whileHeadIsLocked > MAX.whileHeadIsLocked,
    }).toEqual({ tooMany: false });
  });
});
