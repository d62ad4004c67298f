import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { migrateOptions } from '../../../src/cli/migrate/options.js';
import { batchesOf, planRows } from '../../../src/cli/migrate/plan.js';
import { sendBatch, type SentRow } from '../../../src/cli/migrate/send.js';
import { TestApp } from '../../support/app.js';

const draw = () => `sk-old-${randomBytes(18).toString('base64url')}`;
const digest = (secret: string) => createHash('sha256').update(secret).digest();

describe('npm run migrate', () => {
  let app: TestApp;
  let admin: string;
  let directory: string;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    directory = await mkdtemp(join(tmpdir(), 'latchkey-migrate-'));
  });
  afterAll(async () => {
    await app.stop();
    await rm(directory, { recursive: true, force: true });
  });

  const migrate = async (from: string, text: string, flags: string[] = [], credential = admin): Promise<SentRow[]> => {
    const file = join(directory, 'export');
    await writeFile(file, text);
    const options = migrateOptions(['--from', from, '--send', app.baseUrl, ...flags, file]);
    const rows = await planRows(options.source, options.source.read(options.documents), {
      ...options,
      now: new Date(),
    });
    const sent: SentRow[] = [];
    for (const batch of batchesOf(rows))
      sent.push(...(await sendBatch({ ...options, url: options.url!, credential }, batch)));
    return sent;
  };
  const verify = async (key: string, question: object = {}) =>
    (await app.post('/verify', { token: admin, body: { key, ...question } })).body as Record<string, unknown>;

  it('imports keys of LiteLLM, whose clients go on with their budgets', async () => {
    const secret = draw();
    const row = {
      token: digest(secret).toString('hex'),
      key_name: `sk-...${secret.slice(-4)}`,
      key_alias: 'billing',
      spend: 1.1,
      max_budget: 4.35,
      models: ['gpt-4o*'],
      rpm_limit: 60,
    };
    expect(await migrate('litellm', JSON.stringify([row]))).toMatchObject([{ outcome: 'created', reason: null }]);
    expect(await verify(secret, { model: 'gpt-4o-mini' })).toMatchObject({
      valid: true,
      name: 'billing',
      budget: { type: 'total', limitCents: 435, spentCents: 110, remainingCents: 325 },
      rateLimits: [{ window: 'minute', limit: 60 }],
    });
    expect(await verify(secret, { model: 'claude' })).toMatchObject({ valid: false, code: 'MODEL_NOT_ALLOWED' });
  });

  it('imports keys of Unkey, Kong and better-auth', async () => {
    const [recoverable, stored, ofKong, ofBetterAuth] = [draw(), draw(), draw(), draw()];
    const unlimited = { ratelimits: null, permissions: null, roles: null };
    const unkey = [
      {
        keyId: 'key_1',
        start: recoverable.slice(0, 8),
        enabled: true,
        permissions: ['a.read'],
        plaintext: recoverable,
      },
      { id: 'key_2', start: stored.slice(0, 8), enabled: 0, hash: digest(stored).toString('base64'), ...unlimited },
    ];
    const kong = {
      consumers: [{ username: 'ann', keyauth_credentials: [{ key: ofKong }], acls: [{ group: 'readers' }] }],
    };
    const betterAuth = [
      { name: 'Mobile', start: ofBetterAuth.slice(0, 6), key: digest(ofBetterAuth).toString('base64url') },
    ];
    await migrate('unkey', JSON.stringify({ data: unkey }));
    await migrate('kong', JSON.stringify(kong));
    await migrate('better-auth', JSON.stringify(betterAuth));
    expect(await verify(recoverable, { scopes: ['a.read'] })).toMatchObject({ valid: true });
    expect(await verify(stored)).toMatchObject({ valid: false, code: 'DISABLED' });
    expect(await verify(ofKong, { scopes: ['readers'] })).toMatchObject({ valid: true, name: 'ann' });
    expect(await verify(ofBetterAuth)).toMatchObject({ valid: true, name: 'Mobile' });
  });

  it('imports what it can, for the owners it is told, and finds it again the next time', async () => {
    const owner = await app.addUser();
    await writeFile(join(directory, 'owners.json'), JSON.stringify({ ann: owner.id }));
    const secrets = [draw(), draw(), draw()];
    const text = `secret,name,owner,alias\n${secrets[0]},One,ann,same\n${secrets[1]},Two,bob,b\n${secrets[2]},Three,ann,same\n`;
    const flags = ['--owners', join(directory, 'owners.json')];
    const outcomes = async () =>
      (await migrate('csv', text, flags)).map(({ row, outcome, reason }) => [row.number, outcome, reason]);
    const taken = [3, 'refused', expect.stringMatching(/^ALIAS_TAKEN: /)];
    expect(await outcomes()).toEqual([[1, 'created', null], taken]);
    expect(await outcomes()).toEqual([[1, 'duplicate', null], taken]);
    expect(await verify(secrets[0]!)).toMatchObject({ valid: true, ownerId: owner.id });
    expect(await verify(secrets[1]!)).toMatchObject({ valid: false, code: 'NOT_FOUND' });
  });

  it('raises the limit of keys where it is told to', async () => {
    const owner = await app.addUser();
    await writeFile(join(directory, 'owners.json'), JSON.stringify({ ann: owner.id }));
    const rows = Array.from({ length: 12 }, (_, index) => `${draw()},Key ${index},ann`);
    const text = ['secret,name,owner', ...rows].join('\n');
    const flags = ['--owners', join(directory, 'owners.json')];
    const count = (sent: SentRow[], kind: string) => sent.filter(({ outcome }) => outcome === kind).length;
    const bounded = await migrate('csv', text, flags);
    expect([count(bounded, 'created'), count(bounded, 'refused')]).toEqual([10, 2]);
    expect(bounded.at(-1)!.reason).toMatch(/API_KEY_LIMIT_REACHED/);
    const raised = await migrate('csv', text, [...flags, '--raise-owner-limits']);
    expect([count(raised, 'created'), count(raised, 'duplicate')]).toEqual([2, 10]);
  });

  it('says what a server that refuses all of it answered, without the credential', async () => {
    const text = `secret,name\n${draw()},One\n`;
    const credential = 'not-a-credential-0123456789';
    await expect(migrate('csv', text, [], credential)).rejects.toThrow(/answered with status 401 \(.+\)\. Nothing/);
    await expect(migrate('csv', text, [], credential)).rejects.not.toThrow(new RegExp(credential));
    const user = await app.addUser();
    await expect(migrate('csv', text, [], user.token)).rejects.toThrow(/answered with status 403/);
  });
});
