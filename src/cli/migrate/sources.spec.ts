import { describe, expect, it } from '@jest/globals';
import 'reflect-metadata';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { API_KEY_FIELDS } from '../../../packages/contract/src/api-key-fields.js';
import { StartRefusal } from '../../common/start-refusal.js';
import { betterAuth } from './better-auth.js';
import { csv, parseCsv } from './csv.js';
import type { ExportRow } from './export-row.js';
import { kong } from './kong.js';
import { litellm } from './litellm.js';
import { batchesOf, bodyOf, type PlanOptions, planRows } from './plan.js';
import { reportOf } from './report.js';
import type { Source } from './source.js';
import { unkey } from './unkey.js';

const SECRET = 'sk-made-up-0123456789abcdef';
const digest = createHash('sha256').update(SECRET).digest();
const HEX = digest.toString('hex');
const NOW = new Date('2026-11-15T00:00:00Z');

const plan = (source: Source, rows: readonly ExportRow[], options: Partial<PlanOptions> = {}) =>
  planRows(source, rows, { owners: null, acceptsDifferences: false, now: NOW, ...options });
const planOne = async (source: Source, row: ExportRow, options: Partial<PlanOptions> = {}) =>
  (await plan(source, source.read([[row]]), options))[0]!;

describe('LiteLLM', () => {
  const row: ExportRow = {
    token: HEX,
    key_name: 'sk-...cdef',
    key_alias: 'billing',
    spend: 1.1,
    max_budget: 20.35,
    budget_duration: '1mo',
    budget_reset_at: '2026-12-01T00:00:00',
    rpm_limit: 60,
    tpm_limit: null,
    models: ['gpt-4o', 'openai/*'],
    expires: '2027-01-01T00:00:00+00:00',
    blocked: true,
    metadata: { costCentre: '4711', limits: { a: 1 }, tags: ['team:billing'] },
    created_at: '2026-01-02T03:04:05.678',
    last_active: '2026-11-01T00:00:00Z',
    user_id: 'ann',
    permissions: {},
    aliases: {},
  };

  it('maps a key whose rules exist here, with exact amounts', async () => {
    expect(await planOne(litellm, row)).toEqual({
      number: 1,
      label: 'billing',
      state: 'ready',
      reasons: [],
      losses: [],
      key: {
        sha256: HEX,
        prefix: 'sk-...cdef',
        name: 'billing',
        rateLimitPerMinute: 60,
        budgetLimitCents: 2035,
        budgetType: 'monthly',
        spentCents: 110,
        allowedModels: ['gpt-4o', 'openai/*'],
        isActive: false,
        expiresAt: '2027-01-01T00:00:00.000Z',
        createdAt: '2026-01-02T03:04:05.678Z',
        lastUsedAt: '2026-11-01T00:00:00.000Z',
        tags: ['team:billing'],
        metadata: { costCentre: '4711', limits: '{"a":1}', migratedOwner: 'ann' },
      },
    });
  });

  it.each([
    [{ tpm_limit: 1000 }, 'make a limit of tokens by minute'],
    [{ max_parallel_requests: 2 }, 'make a limit of slots'],
    [{ budget_duration: '7d' }, 'budget_duration 7d'],
    [{ budget_duration: '30d', budget_reset_at: '2026-12-14T00:00:00' }, 'budget_duration 30d'],
    [{ budget_duration: '30d', budget_reset_at: null }, 'budget_duration 30d'],
    [{ model_max_budget: { 'gpt-4o': 1 } }, 'make a limit of cents'],
    [{ metadata: { model_rpm_limit: { 'gpt-4o': 1 } } }, 'model_rpm_limit'],
    [{ team_id: 'blue' }, 'team_id'],
    [{ models: ['all-team-models'] }, 'models of the team'],
    [{ models: ['no-default-models', 'gpt-4o'] }, 'no-default-models'],
    [{ allowed_routes: ['/chat'] }, 'allowed_routes'],
    [{ budget_id: 'b' }, 'budget_id'],
    [{ rpm_limit: 20_000 }, 'rpm_limit of 20000 becomes 10000'],
    [{ rpm_limit: 0 }, 'rpm_limit (0 in 60 s)'],
  ])('withholds a key with %j, and imports it where differences are accepted', async (fields, reason) => {
    const withheld = await planOne(litellm, { ...row, ...fields });
    expect([withheld.state, withheld.reasons.join()]).toEqual(['withheld', expect.stringContaining(reason)]);
    const accepted = await planOne(litellm, { ...row, ...fields }, { acceptsDifferences: true });
    expect([accepted.state, accepted.losses.join()]).toEqual(['ready', expect.stringContaining(reason)]);
  });

  it('refuses a key that may use no model, and a flag that is neither yes nor no', async () => {
    for (const [fields, reason] of [
      [{ models: ['no-default-models'] }, /no-default-models alone/],
      [{ blocked: 'perhaps' }, /neither true nor false/],
    ] as const) {
      const { state, reasons } = await planOne(litellm, { ...row, ...fields });
      expect([state, reasons.join()]).toEqual(['refused', expect.stringMatching(reason)]);
    }
  });

  it('reads a flag in upper case, as spreadsheets write it', async () => {
    for (const blocked of ['True', 'TRUE']) {
      const { key } = await planOne(litellm, { ...row, blocked });
      expect(key?.isActive).toBe(false);
    }
  });

  it('takes every model where the key may have every model', async () => {
    for (const models of [[], ['all-proxy-models'], ['*', 'gpt-4o']]) {
      const { state, key } = await planOne(litellm, { ...row, models });
      expect([state, key?.allowedModels]).toEqual(['ready', undefined]);
    }
  });

  it('reads the pages of /key/list, and refuses some of them', () => {
    const page = { keys: [row], total_count: 2, current_page: 1 };
    expect(litellm.read([page, page])).toHaveLength(2);
    expect(() => litellm.read([page])).toThrow(/1 of 2 keys/);
    expect(() => litellm.read([{ data: [] }])).toThrow(StartRefusal);
  });
});

describe('Unkey', () => {
  const row: ExportRow = {
    keyId: 'key_1',
    start: 'sk-made',
    name: 'CI',
    enabled: true,
    expires: Date.parse('2027-01-01T00:00:00Z'),
    createdAt: Date.parse('2026-01-02T03:04:05Z'),
    permissions: ['documents.read'],
    meta: { plan: 'pro' },
    identity: { id: 'id_1', externalId: 'ann' },
    ratelimits: [
      { name: 'a', limit: 100, duration: 60_000, autoApply: true },
      { name: 'b', limit: 50, duration: 60_000, autoApply: true },
      { name: 'c', limit: 900, duration: 3_600_000, autoApply: true },
    ],
    plaintext: SECRET,
  };
  const mapped = {
    sha256: HEX,
    prefix: 'sk-made',
    name: 'CI',
    isActive: true,
    expiresAt: '2027-01-01T00:00:00.000Z',
    createdAt: '2026-01-02T03:04:05.000Z',
    scopes: ['documents.read'],
    metadata: { plan: 'pro', migratedOwner: 'ann' },
    rateLimitPerMinute: 50,
    rateLimitPerHour: 900,
  };

  it('maps a recoverable key of apis.listKeys', async () => {
    expect(await planOne(unkey, row)).toMatchObject({ state: 'ready', key: mapped, losses: [] });
    expect(unkey.read([{ data: [row], pagination: { hasMore: false } }])).toHaveLength(1);
    expect(() => unkey.read([{ data: [row], pagination: { hasMore: true } }])).toThrow(/hasMore/);
  });

  it('maps a row of the table keys by its hash in base64', async () => {
    const stored = {
      id: 'key_1',
      hash: digest.toString('base64'),
      start: 'sk-made',
      meta: '{"plan":"pro"}',
      owner_id: 'ann',
      enabled: 1,
      expires: '2027-01-01 00:00:00.000',
      created_at_m: Date.parse('2026-01-02T03:04:05Z'),
      ...{ ratelimits: null, permissions: null, roles: null },
    };
    expect(await planOne(unkey, stored)).toMatchObject({
      state: 'ready',
      key: { sha256: HEX, isActive: true, expiresAt: mapped.expiresAt, metadata: mapped.metadata },
    });
    expect(await planOne(unkey, { ...stored, roles: undefined })).toMatchObject({
      state: 'withheld',
      reasons: [expect.stringContaining('roles: not in the export')],
    });
  });

  it('refuses what no key can be found by, and what is deleted', async () => {
    const unrecoverable = await planOne(unkey, { ...row, plaintext: undefined });
    expect(unrecoverable).toMatchObject({ state: 'refused', reasons: [expect.stringContaining('issue a new key')] });
    expect((await planOne(unkey, { ...row, deleted_at_m: 1 })).state).toBe('refused');
  });

  it.each([
    [{ credits: { remaining: 7 } }, '7 left'],
    [{ roles: ['editor'] }, 'roles'],
    [{ ratelimits: [{ name: 'x', limit: 5, duration: 10_000, autoApply: true }] }, '10 s'],
    [{ ratelimits: [{ name: 'x', limit: 5, duration: 60_000, autoApply: false }] }, 'by name'],
  ])('withholds a key with %j', async (fields, reason) => {
    const { state, reasons } = await planOne(unkey, { ...row, ...fields });
    expect([state, reasons.join()]).toEqual(['withheld', expect.stringContaining(reason)]);
  });
});

describe('Kong', () => {
  const consumer = {
    username: 'ann',
    custom_id: '4711',
    tags: ['paying'],
    keyauth_credentials: [{ key: SECRET, tags: ['old'] }],
    acls: [{ group: 'readers' }, { group: 'writers' }],
    plugins: [
      { name: 'rate-limiting', config: { minute: 60, hour: null, day: 1000 } },
      { name: 'ip-restriction', config: { allow: ['10.0.0.0/8'] } },
    ],
  };
  const planDump = async (fields: object) => {
    const rows = kong.read([{ _format_version: '3.0', consumers: [{ ...consumer, ...fields }] }]);
    return plan(kong, rows);
  };

  it('maps a credential with its consumer, and shows little of its key', async () => {
    expect(await planDump({})).toEqual([
      expect.objectContaining({
        label: 'ann',
        state: 'ready',
        key: {
          sha256: HEX,
          prefix: SECRET.slice(0, 6),
          name: 'ann',
          tags: ['paying', 'old'],
          scopes: ['readers', 'writers'],
          rateLimitPerMinute: 60,
          rateLimitPerDay: 1000,
          allowedIps: ['10.0.0.0/8'],
          expiresAt: null,
          metadata: { consumer: 'ann', customId: '4711', migratedOwner: '4711' },
        },
      }),
    ]);
  });

  it.each([
    [{ plugins: [{ name: 'rate-limiting', config: { second: 5 } }] }, 'second'],
    [{ plugins: [{ name: 'request-size-limiting', config: {} }] }, 'request-size-limiting'],
    [{ plugins: [{ name: 'ip-restriction', config: { deny: ['10.0.0.1'] } }] }, 'deny'],
    [
      { keyauth_credentials: [{ key: SECRET }, { key: 'another-key-0123' }] },
      'make a limit of requests on their owner',
    ],
    [{ keyauth_credentials: [{ key: SECRET, ttl: 3600 }] }, 'ttl'],
    [{ groups: [{ name: 'gold' }] }, 'consumer groups'],
  ])('withholds a credential with %j', async (fields, reason) => {
    const [first] = await planDump(fields);
    expect([first!.state, first!.reasons.join()]).toEqual(['withheld', expect.stringContaining(reason)]);
  });

  it('refuses a reference to a vault, and what is no dump', async () => {
    const [reference] = await planDump({ keyauth_credentials: [{ key: '{vault://env/key}' }] });
    expect(reference).toMatchObject({ state: 'refused', reasons: [expect.stringContaining('vault')] });
    expect(() => kong.read([[]])).toThrow(/deck gateway dump/);
  });
});

describe('better-auth', () => {
  const row: ExportRow = {
    id: 'k1',
    name: 'Mobile',
    start: 'sk-mad',
    key: digest.toString('base64url'),
    userId: 'ann',
    enabled: 1,
    rateLimitEnabled: 1,
    rateLimitTimeWindow: 86_400_000,
    rateLimitMax: 10,
    lastRequest: '2026-11-01T00:00:00.000Z',
    expiresAt: null,
    createdAt: '2026-01-02T03:04:05.000Z',
    permissions: '{"files":["read","write"]}',
    metadata: '{"plan":"pro"}',
  };

  it('maps a row of apikey', async () => {
    expect(await planOne(betterAuth, row)).toMatchObject({
      state: 'ready',
      losses: [],
      key: {
        sha256: HEX,
        prefix: 'sk-mad',
        name: 'Mobile',
        isActive: true,
        rateLimitPerDay: 10,
        scopes: ['files:read', 'files:write'],
        metadata: { plan: 'pro', migratedOwner: 'ann' },
        expiresAt: null,
        createdAt: '2026-01-02T03:04:05.000Z',
        lastUsedAt: '2026-11-01T00:00:00.000Z',
      },
    });
  });

  it('withholds a key with a number of uses, and refuses one that is stored in clear', async () => {
    expect(await planOne(betterAuth, { ...row, remaining: 0 })).toMatchObject({ state: 'withheld' });
    const clear = await planOne(betterAuth, { ...row, key: SECRET });
    expect(clear.state).toBe('refused');
    expect(JSON.stringify(clear)).not.toContain(SECRET);
  });
});

describe('CSV', () => {
  const file = (text: string) => csv.read([parseCsv('keys.csv', text)]);

  it('maps columns that are named like fields of the import', async () => {
    const text = [
      'secret,name,owner,scopes,rateLimitPerMinute,budgetLimitCents,budgetType,spentCents,isActive,metadata.plan',
      `${SECRET},"Billing, old",ann,chat:write chat:read,60,0.3,monthly,0.1,false,pro`,
    ].join('\r\n');
    const ownerId = '019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55';
    const [row] = await plan(csv, file(text), { owners: new Map([['ann', ownerId]]) });
    expect(row).toMatchObject({
      label: 'Billing, old',
      state: 'ready',
      key: {
        sha256: HEX,
        prefix: 'sk-mad',
        name: 'Billing, old',
        ownerId,
        scopes: ['chat:write', 'chat:read'],
        rateLimitPerMinute: 60,
        budgetLimitCents: 0.3,
        budgetType: 'monthly',
        spentCents: 0.1,
        isActive: false,
        metadata: { plan: 'pro' },
      },
    });
  });

  it('takes each field that a new key may have', async () => {
    const names = Object.entries(API_KEY_FIELDS).filter(
      ([name, { given }]) => given !== 'update' && name !== 'metadata',
    );
    const header = ['secret', ...names.map(([name]) => name)].join(',');
    expect(() => file(`${header}\n${SECRET}${','.repeat(names.length)}`)).not.toThrow();
    const text = `secret,verifiesEnvironment,validityDays,isUnlimited,roles\n${SECRET},test,30,true,gateway auditor`;
    expect((await plan(csv, file(text)))[0]).toMatchObject({
      state: 'ready',
      key: { verifiesEnvironment: 'test', validityDays: 30, isUnlimited: true, roles: ['gateway', 'auditor'] },
    });
  });

  it('refuses a column that it does not know, and a table that is none, without what is in it', () => {
    expect(() => file(`secret,budgetCents\n${SECRET},5`)).toThrow(/budgetCents.*Known are/);
    expect(() => file(`secret,name\n${SECRET}`)).toThrow(/is not CSV/);
    expect(() => file(`secret,name\n${SECRET}`)).not.toThrow(new RegExp(SECRET));
  });
});

describe('docs/migrating.md', () => {
  it('names every column of a table of one’s own that is no field of a key', async () => {
    const page = await readFile(new URL('../../../docs/migrating.md', import.meta.url), 'utf8');
    const names = /Known are (.+?) and /.exec(messageOf(() => parseCsv('keys.csv', 'wrong\n1')))![1]!.split(', ');
    const others = names.filter((name) => !(name in API_KEY_FIELDS));
    expect(others.length).toBeGreaterThan(5);
    expect(others.filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
  });
});

/** What an act throws. */
function messageOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('It throws nothing.');
}

describe('Rows', () => {
  const row = (fields: object = {}): ExportRow => ({ sha256: HEX, prefix: 'sk-', name: 'One', ...fields });

  it('are judged each by itself', async () => {
    const rows = [
      row(),
      row({ sha256: '$2b$10$abc' }),
      row({ budgetLimitCents: 'ten' }),
      row({ expiresAt: '2026-01-01' }),
      row({ createdAt: 'yesterday' }),
      row({ owner: 'bob' }),
      row({ name: 'Last' }),
    ];
    const planned = await plan(csv, rows);
    expect(planned.map(({ state }) => state)).toEqual([
      ...['ready', 'refused', 'refused', 'refused', 'refused'],
      ...['ready', 'ready'],
    ]);
    const lines = reportOf(planned);
    expect(lines[1]).toMatch(/row 2 {2}One {2}refused: sha256 is a slow, salted hash/);
    expect(lines[2]).toMatch(/budgetLimitCents must be a number$/);
    expect(lines[3]).toMatch(/the key ended at 2026-01-01/);
    const withOwners = await plan(csv, rows, { owners: new Map() });
    expect(withOwners[5]).toMatchObject({ state: 'refused', reasons: ['owner bob is not in the file of owners'] });
  });

  it('go in batches that one request takes', async () => {
    const small = Array.from({ length: 1001 }, (_, index) => row({ name: `Key ${index}` }));
    expect(batchesOf(await plan(csv, small)).map(({ length }) => length)).toEqual([500, 500, 1]);
    const large = Array.from({ length: 500 }, () => row({ 'metadata.note': 'x'.repeat(4000) }));
    const batches = batchesOf(await plan(csv, large));
    expect(batches.length).toBeGreaterThan(1);
    expect(batches.flat()).toHaveLength(500);
    for (const batch of batches) expect(Buffer.byteLength(bodyOf(batch, false))).toBeLessThanOrEqual(1024 * 1024);
  });

  it('show no control characters of another system', async () => {
    const [line] = reportOf(await plan(csv, [row({ name: 'a\u001b[2Jb\u202ec' })]));
    expect(line).toContain('a\\u{1b}[2Jb\\u{202e}c');
  });
});
