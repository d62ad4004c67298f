import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash, randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { importedMacOf } from '../../../src/api-keys/secret.js';
import { CredentialBindings } from '../../../src/installation/bindings/credential-bindings.js';
import { RecordCache } from '../../../src/key-cache/records/record-cache.js';
import { RecordLoader } from '../../../src/key-cache/records/record-loader.js';
import { SecretAuthenticator } from '../../../src/verification/secret-authenticator.js';
import { TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';

/** More than two pages of the reading. */
const STORED = 20_500;

const sha256 = (text: string) => createHash('sha256').update(text).digest();

describe('imported keys in memory', () => {
  let app: TestApp;
  let token: string;
  let owner: Client;
  const others: TestApp[] = [];

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000000' });
    token = await app.adminToken();
    owner = new Client({ connectionString: app.database.ownerUrl });
    await owner.connect();
  });
  afterAll(async () => {
    await owner.end();
    for (const other of others) await other.stop();
    await app.stop();
  });

  const macOf = (secret: string) => importedMacOf(app.config.peppers[0]!.key, sha256(secret));
  const filterOf = (one: TestApp) => one.app.get(RecordCache, { strict: false }).imported;
  const importOne = async (secret: string) => {
    const keys = [{ sha256: sha256(secret).toString('hex'), prefix: secret.slice(0, 10) }];
    expect((await app.post('/api-keys/import', { token, body: { keys } })).body.counts.created).toBe(1);
  };
  const start = async () => {
    const other = await TestApp.start({ MAX_ACTIVE_KEYS: '1000000' }, app.database);
    others.push(other);
    return other;
  };

  it('are all there when a replica is ready, whatever is imported while it reads them', async () => {
    const { body } = await app.post('/api-keys', { token, body: {} });
    // Without the trigger that notes each secret with its key: here all have one.
    await owner.query('SET session_replication_role = replica');
    await owner.query(
      `INSERT INTO api_key_secret (kid, key_id, kind, key_prefix, mac, pepper_version)
       SELECT 'stored' || lpad(n::text, 8, '0'), $1, 'imported', 'sk-stored', sha256(('mac ' || n)::bytea), '1' FROM generate_series(1, ${STORED}) AS n`,
      [body.apiKey.id],
    );
    await owner.query('RESET session_replication_role');
    const imported: string[] = [];
    let isStarting = true;
    const importing = (async () => {
      while (isStarting) {
        imported.push(`sk-while-${randomBytes(18).toString('base64url')}`);
        await importOne(imported.at(-1)!);
      }
    })();
    const other = await start();
    isStarting = false;
    await importing;
    expect(filterOf(other).isReady).toBe(true);
    await other.applied();
    const missing = Array.from({ length: STORED }, (_, index) =>
      createHash('sha256')
        .update(`mac ${index + 1}`)
        .digest(),
    ).filter((mac) => filterOf(other).mayHave([mac]) !== true);
    expect(missing.length).toBe(0);
    expect(imported.length).toBeGreaterThan(0);
    for (const secret of imported)
      expect((await other.post('/verify', { token, body: { key: secret } })).body.code).toBe('VALID');
    expect(filterOf(other).stats().keys).toBe(STORED + imported.length);
    expect(filterOf(other).mayHave([macOf('sk-nobody')])).toBe(false);
  });

  it('are read anew with another history of the database, and looked up until then', async () => {
    const [other] = others;
    await owner.query('SET session_replication_role = replica');
    await owner.query(`DELETE FROM api_key_secret WHERE key_prefix = 'sk-stored' AND kid > 'stored00010000'`);
    expect(filterOf(other!).stats().keys).toBeGreaterThan(STORED);
    await owner.query('UPDATE change_head SET epoch = gen_random_uuid()');
    const count = Number(
      (await owner.query(`SELECT count(*) AS count FROM api_key_secret WHERE kind = 'imported'`)).rows[0].count,
    );
    await eventually(
      () => expect([filterOf(other!).isReady, filterOf(other!).stats().keys]).toEqual([true, count]),
      20_000,
    );
    const secret = `sk-after-${randomBytes(18).toString('base64url')}`;
    await importOne(secret);
    await other!.applied();
    expect((await other!.post('/verify', { token, body: { key: secret } })).body.code).toBe('VALID');
  });
});

describe('A text that is no key of ours', () => {
  it('is compared under no pepper before anything was imported', async () => {
    const app = await TestApp.start();
    try {
      const get = <T>(type: new (...args: never[]) => T) => app.app.get(type, { strict: false });
      let uses = 0;
      const config = new Proxy(app.config, {
        get: (target, name) => {
          if (name === 'peppers') uses += 1;
          return Reflect.get(target, name) as unknown;
        },
      });
      const prover = new SecretAuthenticator(get(RecordCache), get(RecordLoader), config, get(CredentialBindings));
      const told = async () => [
        prover.refuseAtSight('no key'),
        await prover.authenticate('no key', performance.now()),
        await prover.authenticate(`sk-${randomBytes(18).toString('base64url')}`, performance.now()),
      ];
      await eventually(() => expect(get(RecordCache).imported.isReady).toBe(true));
      expect(await told()).toEqual(['MALFORMED', 'MALFORMED', 'NOT_FOUND']);
      expect(uses).toBe(0);
      const keys = [{ sha256: sha256('sk-imported-once').toString('hex'), prefix: 'sk-imported' }];
      const body = { keys };
      expect((await app.post('/api-keys/import', { token: await app.adminToken(), body })).status).toBe(200);
      await app.applied();
      expect(await told()).toEqual(['MALFORMED', 'MALFORMED', 'NOT_FOUND']);
      expect(uses).toBe(3);
    } finally {
      await app.stop();
    }
  });
});
