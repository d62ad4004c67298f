import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { type Answer, TestApp, type TestUser } from '../../support/app.js';
import { issueKey } from '../../support/management.js';
import { RoundTripRecorder } from '../../support/round-trips.js';

/** What a change may take; others wait for its locks. @see docs/operations.md, Far from the database */
const MAX = { count: 9, whileRowsAreLocked: 3, whileHeadIsLocked: 1 };

interface Row {
  readonly change: string;
  readonly roundTrips: number;
  readonly whileRowsAreLocked: number;
}

describe('Round trips to PostgreSQL', () => {
  let app: TestApp;
  let recorder: RoundTripRecorder;
  let admin: string;
  let person: TestUser;
  const measured: Row[] = [];

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
  const send = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => () =>
    app.request(method, path, { token: admin, headers, ...(body === undefined ? {} : { body }) });

  /** Each is made once before, so that no connection is opened and nothing is prepared while it is measured. */
  const CHANGES: readonly [string, () => Promise<() => Promise<Answer>>][] = [
    ['create a key', async () => send('POST', '/api-keys', { ownerId: person.id, roles: ['helper'] })],
    ['create a key, with an `Idempotency-Key`', async () => send('POST', '/api-keys', {}, { 'idempotency-key': `k${measured.length}-${Math.random()}` })],
    ['create a key by alias', async () => send('PUT', `/api-keys/by-alias/a${measured.length}-${Math.floor(Math.random() * 1e9)}`, { name: 'new' })],
    ['renew a key by alias', async () => send('PUT', '/api-keys/by-alias/round-trips', { name: `n${Math.random()}` })],
    ['update a key', async () => send('PATCH', `/api-keys/${(await key()).id}`, { name: 'another', roles: ['helper'] })],
    ['deactivate a key', async () => send('POST', `/api-keys/${(await key()).id}/deactivate`)],
    ['renew a key', async () => send('POST', `/api-keys/${(await key({ expiresAt: new Date(Date.now() + 3_600_000) })).id}/renew`, {})],
    ['regenerate a secret', async () => send('POST', `/api-keys/${(await key({ roles: ['helper'] })).id}/regenerate`, { overlapSeconds: 60 })],
    ['transfer a key', async () => send('POST', `/api-keys/${(await issueKey(app, admin)).id}/transfer`, { ownerId: person.id })],
    ['revoke a key', async () => send('POST', `/api-keys/${(await key()).id}/revoke`, {})],
    ['delete a key', async () => send('DELETE', `/api-keys/${(await key()).id}/permanent`)],
    ['create a user', async () => send('POST', '/users', { name: 'New', email: `u${Math.random()}@latchkey.test`, roles: ['creator'] })],
    ['disable a user', async () => send('PATCH', `/users/${(await app.addUser(['creator'])).id}`, { isActive: false })],
    ['give a user roles', async () => send('PUT', `/users/${(await app.addUser(['creator'])).id}/roles`, { roles: ['helper'] })],
    ['create a role', async () => send('POST', '/roles', { name: `r${Math.floor(Math.random() * 1e9)}`, permissions: [] })],
    ['update a role', async () => send('PATCH', '/roles/helper', { description: `d${Math.random()}` })],
    ['sign in', async () => () => app.post('/auth/login', { body: { email: person.email, password: person.password } })],
  ];

  it.each(CHANGES)('%s', async (change, prepare) => {
    await (await prepare())();
    const act = await prepare();
    let answer: Answer | null = null;
    const trips = await recorder.of(async () => {
      answer = await act();
    });
    expect(answer!).toMatchObject({ status: expect.any(Number) });
    expect(answer!.status).toBeLessThan(300);
    const { count, whileRowsAreLocked, whileHeadIsLocked } = trips;
    measured.push({ change, roundTrips: count, whileRowsAreLocked });
    // The change itself was seen, or nothing was measured.
    expect(trips.trips.flat().filter((text) => text === 'COMMIT')).toHaveLength(1);
    expect({ trips: trips.trips, tooMany: count > MAX.count || whileRowsAreLocked > MAX.whileRowsAreLocked || whileHeadIsLocked !== MAX.whileHeadIsLocked }).toMatchObject({
      tooMany: false,
    });
  });

  it('are what the table in docs/operations.md says', async () => {
    const page = await readFile(new URL('../../../docs/operations.md', import.meta.url), 'utf8');
    const rows = measured.map(({ change, roundTrips, whileRowsAreLocked }) => `| ${change} | ${roundTrips} | ${whileRowsAreLocked} | 1 |`);
    expect(rows.filter((row) => !page.includes(row))).toEqual([]);
  });
});
