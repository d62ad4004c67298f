import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SECRET_NAMES } from '../../src/config/generated-secrets.js';
import { asOwner } from '../support/trail.js';
import { CanaryRun } from './canaries.js';

/** Secrets of the settings: that they work is shown by everything that works. */
const OF_SETTINGS: readonly string[] = [
  ...SECRET_NAMES,
  'secret of the client at the identity provider',
  'token of the collector of traces',
];

/** G10: a secret leaves in its one answer, and nowhere else. */
describe.each(['debug', 'trace'] as const)('A secret, with the log at %s', (level) => {
  let run: CanaryRun;
  let leaks: string[];

  beforeAll(async () => {
    run = await CanaryRun.start(level);
    await run.use().finally(() => run.stop());
    leaks = await run.leaks();
  });
  afterAll(() => run.drop());

  it('is in no answer but its own, not in the log, in no trace, and nowhere in the database, however it is spelled', () => {
    expect(leaks).toEqual([]);
  });

  it('is one that works, each of them', () => {
    const unproven = [...run.secrets.keys()].filter(
      (name) => !run.proven.has(name) && !OF_SETTINGS.includes(name) && !name.endsWith('public part'),
    );
    expect(unproven).toEqual([]);
    expect(run.secrets.size).toBeGreaterThanOrEqual(30);
  });

  it('is looked for where something is', () => {
    expect(run.surprises).toEqual([]);
    expect(run.log.split('\n').length).toBeGreaterThan(60);
    expect(run.collector.spans.length).toBeGreaterThan(200);
    expect(run.collector.text).not.toContain('@');
    expect(run.answers.length).toBeGreaterThan(50);
    expect(run.answers.filter(({ shows }) => shows.length > 0).length).toBeGreaterThanOrEqual(9);
    expect(run.answers.every(({ text }) => text.length > 20)).toBe(true);
  });
});

describe('The search for secrets', () => {
  it('finds one that is logged, one that is sent back, and one that is stored', async () => {
    const run = await CanaryRun.start('debug', (fastify) => {
      fastify.addHook('onResponse', (request, _reply, done) => {
        fastify.log.info({ headers: request.headers }, 'a header too many');
        done();
      });
      fastify.addHook('onSend', (request, reply, _payload, done) => {
        void reply.header('x-debug', String(request.headers['x-api-key'] ?? ''));
        done();
      });
    });
    try {
      await run.use().finally(() => run.stop());
      const stored = Buffer.from(run.secrets.get('imported secret')!).toString('base64');
      await asOwner(run.database, (client) => client.query(`CREATE TABLE notes AS SELECT 'see ${stored}' AS text`));
      const leaks = await run.leaks();
      for (const leak of [
        'the log: session token',
        'the log: key of a gateway',
        'the log: Idempotency-Key',
        'the log: token of the identity provider',
      ])
        expect(leaks).toContain(leak);
      expect(leaks).toContain('the key, by itself: key');
      expect(leaks).toContain('the table notes: imported secret');
      expect(leaks.filter((leak) => leak.startsWith('the table'))).toEqual(['the table notes: imported secret']);
    } finally {
      await run.drop();
    }
  });
});
