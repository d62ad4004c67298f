import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp } from '../../support/app.js';
import { trailOf } from '../../support/trail.js';

describe('POST /limits', () => {
  let app: TestApp;
  let admin: string;
  let names = 0;

  const fields = async (more: object = {}) => {
    const project = await app.post('/projects', { token: admin, body: { name: `Retried ${++names}` } });
    const target = { kind: 'project', id: project.body.id as string };
    return { name: `Limit ${names}`, amountCents: 1000, per: 'month', target, ...more };
  };

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
  });
  afterAll(() => app.stop());

  it('201: makes one limit of a request that is sent again with its Idempotency-Key', async () => {
    const body = await fields({ alias: 'sent-twice', each: 'key' });
    const headers = { 'idempotency-key': 'limit-1' };
    const send = (more: object = {}) => app.post('/limits', { token: admin, headers, body: { ...body, ...more } });
    const answers = await Promise.all([send(), send()]);
    answers.push(await send());
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201]);
    expect(new Set(answers.map((answer) => JSON.stringify(answer.body))).size).toBe(1);
    expect(answers.map((answer) => answer.headers.get('idempotency-replayed') ?? 'first').sort()).toEqual([
      'first',
      'true',
      'true',
    ]);
    expect((await trailOf(app, answers[0].body.id)).map(({ action }) => action)).toEqual(['limits:create']);
    expect((await send({ amountCents: 5 })).body).toMatchObject({ status: 422, code: 'IDEMPOTENCY_KEY_REUSED' });
    // What is refused frees the key.
    const refused = { ...headers, 'idempotency-key': 'limit-2' };
    const taken = await app.post('/limits', {
      token: admin,
      headers: refused,
      body: await fields({ alias: 'sent-twice' }),
    });
    expect(taken.body.code).toBe('LIMIT_ALIAS_TAKEN');
    expect((await app.post('/limits', { token: admin, headers: refused, body: await fields() })).status).toBe(201);
  });
});
