import { hash } from '@node-rs/argon2';
import { createHash, randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { ADMIN, ProofCluster, patiently } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import type { Random } from '../harness/random.js';

/** Forged rows of each kind: 1 000 in all at full size. */
const FORGED = {
  ci: { secrets: 60, imported: 60, passwords: 24, stored: 20 },
  full: { secrets: 300, imported: 350, passwords: 150, stored: 200 },
} as const;
const IMPORTED_AT_ONCE = 100;
/** As cheap as argon2 goes: the attacker chooses the cost. */
const CHEAP = { memoryCost: 8, timeCost: 1, parallelism: 1 };
const OWN_PASSWORD = 'chosen by the attacker';

/** What the role of the application must not be able to do to the head of the trail. */
const HEAD_MOVES = [
  'UPDATE change_head SET seq = seq + 1',
  'UPDATE change_head SET seq = seq - 1',
  `UPDATE change_head SET audit_hash = sha256('x')`,
  `UPDATE change_head SET audit_key_version = 'x', signed_seq = seq`,
  'DELETE FROM change_head',
  'SELECT audit_move_head(seq - 1, audit_hash, NULL) FROM change_head',
  'DELETE FROM audit_event',
  `UPDATE audit_event SET action = 'x'`,
];

interface Key {
  readonly id: string;
  readonly secret: string;
}

/**
 * As the role `latchkey_app`, with every right that the application has: secrets are moved and made up, imported
 * secrets are moved, passwords are set and copied, and what is stored is presented. Replicas that remember nothing are
 * asked then.
 */
export const g11: Experiment = {
  id: 'G11',
  guarantee:
    'a database writer cannot mint or move a credential: 0 of 1 000 forged rows are accepted, passwords and imported secrets among them; the head of the trail does not move',
  inCi: true,
  fault: { what: 'a credential counts for whatever row it lies in', patch: 'trusts-rows.mjs' },
  run: async ({ size, random, log, fault }) => {
    const cluster = await ProofCluster.start(2, { TRUSTED_PROXIES: '127.0.0.0/8' }, fault);
    const writer = new Client({ connectionString: cluster.database.appUrl });
    try {
      await writer.connect();
      const counts = FORGED[size];
      const violations: string[] = [];
      const [asked, users] = [new Asked(cluster, random), await makeUsers(cluster, counts.passwords + 1)];
      const target = await cluster.createKey({ name: 'The target', roles: ['admin'] });
      const own = await many(counts.secrets + counts.stored, () => cluster.createKey());
      const imported = await importKeys(cluster, counts.imported + 5);
      // Floor: all of it is accepted before it is forged.
      for (const { secret } of [...own, ...imported]) await asked.verify(secret, 'VALID', violations);
      for (const { email, password } of users) await asked.signIn(email, password, 200, violations);
      if (violations.length > 0)
        return {
          violations,
          floors: [floor('rows forged', 0, 1)],
          figures: { forged: 0, accepted: 0, headMovesRefused: 0, leftAccepted: 0 },
        };

      const stored = await forge(writer, counts, own, imported, users, target);
      const moved = await headMoves(writer, violations);
      log(`forged: ${JSON.stringify(counts)}; ${moved} moves of the head refused`);
      await forgetAll(cluster);
      for (const { secret } of own.slice(0, counts.secrets)) await asked.verify(secret, 'NOT_FOUND', violations);
      for (const { secret } of imported.slice(0, counts.imported)) await asked.verify(secret, 'NOT_FOUND', violations);
      for (const text of stored) await asked.refuses(text, violations);
      for (const { email } of users.slice(0, counts.passwords))
        await asked.signIn(email, OWN_PASSWORD, 401, violations);
      for (const { email } of users.slice(0, counts.passwords))
        await asked.signIn(email, users.at(-1)!.password, 401, violations);
      // Floor: what was not forged is accepted as before.
      const left = [...own.slice(counts.secrets), ...imported.slice(counts.imported)];
      for (const { secret } of left) await asked.verify(secret, 'VALID', violations);
      await asked.signIn(users.at(-1)!.email, users.at(-1)!.password, 200, violations);
      const forged = counts.secrets + counts.imported + counts.passwords * 2 + stored.length;
      return {
        violations,
        floors: [
          floor('rows forged', forged, counts.secrets + counts.imported + counts.passwords),
          floor('moves of the head refused', moved, HEAD_MOVES.length),
          floor('credentials accepted that were left alone', left.length, 1),
        ],
        figures: { forged, accepted: violations.length, headMovesRefused: moved, leftAccepted: left.length },
      };
    } finally {
      await writer.end().catch(() => undefined);
      await cluster.stop();
    }
  },
};

/** Replicas that remember nothing are asked then. */
async function forgetAll(cluster: ProofCluster): Promise<void> {
  for (const replica of cluster.replicas) {
    await replica.end('SIGTERM');
    await replica.start();
  }
}

/** Gives what is presented as a key although it is only what is stored. */
async function forge(
  writer: Client,
  counts: { readonly secrets: number; readonly imported: number; readonly passwords: number; readonly stored: number },
  own: readonly Key[],
  imported: readonly Key[],
  users: readonly User[],
  target: Key,
): Promise<string[]> {
  const ids = (keys: readonly Key[], count: number) => keys.slice(0, count).map(({ id }) => id);
  // Half of the secrets are moved, half get a MAC of the attacker's own.
  const half = Math.floor(counts.secrets / 2);
  const secrets = ids(own, counts.secrets);
  await writer.query('UPDATE api_key_secret SET key_id = $2 WHERE key_id = ANY($1)', [
    secrets.slice(0, half),
    target.id,
  ]);
  await writer.query(`UPDATE api_key_secret SET mac = sha256(kid::bytea) WHERE key_id = ANY($1)`, [
    secrets.slice(half),
  ]);
  // Of imported ones, every third loses its binding, and every third gets that of another one.
  const moved = ids(imported, counts.imported);
  await writer.query(`UPDATE api_key_secret SET key_id = $2 WHERE key_id = ANY($1)`, [moved, target.id]);
  await writer.query(
    `UPDATE api_key_secret s SET binding = CASE n % 3 WHEN 0 THEN NULL WHEN 1 THEN (SELECT binding FROM api_key_secret WHERE key_id = $2) ELSE s.binding END
       FROM (SELECT kid, row_number() OVER (ORDER BY kid) AS n FROM api_key_secret WHERE key_id = $1 AND kind = 'imported') AS o WHERE o.kid = s.kid`,
    [target.id, imported.at(-1)!.id],
  );
  for (const [index, { id }] of users.slice(0, counts.passwords).entries())
    await forgePassword(writer, id, users.at(-1)!.id, index);
  const { rows } = await writer.query<{ kid: string; mac: string; key_prefix: string }>(
    `SELECT kid, key_prefix, encode(mac, 'hex') AS mac FROM api_key_secret WHERE key_id = ANY($1)`,
    [own.slice(counts.secrets).map(({ id }) => id)],
  );
  return rows.flatMap(({ key_prefix, mac, kid }) => [mac, `${key_prefix}${mac.slice(0, 43)}${kid.slice(0, 6)}`]);
}

/**
 * A hash of the attacker's own, with the old binding, none, or that of another user; or the whole password of that
 * user.
 */
async function forgePassword(writer: Client, id: string, otherId: string, index: number): Promise<void> {
  if (index % 4 === 3) {
    await writer.query(
      `UPDATE users SET (password_hash, password_binding, password_binding_version) =
         (SELECT password_hash, password_binding, password_binding_version FROM users WHERE id = $2) WHERE id = $1`,
      [id, otherId],
    );
    return;
  }
  const binding = ['password_binding', 'NULL', `(SELECT password_binding FROM users WHERE id = '${otherId}')`][
    index % 4
  ]!;
  await writer.query(`UPDATE users SET password_hash = $2, password_binding = ${binding} WHERE id = $1`, [
    id,
    await hash(OWN_PASSWORD, CHEAP),
  ]);
}

/** Gives how many were refused. */
async function headMoves(writer: Client, violations: string[]): Promise<number> {
  let refused = 0;
  for (const statement of HEAD_MOVES) {
    const code = await writer.query(statement).then(
      () => null,
      (error: { code?: string }) => error.code,
    );
    if (code === '42501') refused += 1;
    else violations.push(`${statement} came to ${code ?? 'success'}`);
  }
  return refused;
}

interface User {
  readonly id: string;
  readonly email: string;
  readonly password: string;
}

async function makeUsers(cluster: ProofCluster, count: number): Promise<User[]> {
  return many(count, async () => {
    const password = randomBytes(12).toString('base64url');
    const email = `${randomBytes(6).toString('hex')}@latchkey.test`;
    const body = { name: 'A person', email, password, roles: ['admin'] };
    const answer = await patiently(() => cluster.replica(0).client.post('/users', { token: cluster.adminToken, body }));
    if (answer.status !== 201) throw new Error(`${ADMIN.email} could not make a user: ${JSON.stringify(answer.body)}`);
    return { id: answer.body.id as string, email, password };
  });
}

async function importKeys(cluster: ProofCluster, count: number): Promise<Key[]> {
  const keys: Key[] = [];
  while (keys.length < count) {
    const secrets = Array.from(
      { length: Math.min(IMPORTED_AT_ONCE, count - keys.length) },
      () => `sk-old-${randomBytes(18).toString('base64url')}`,
    );
    const body = {
      keys: secrets.map((secret) => ({ sha256: createHash('sha256').update(secret).digest('hex'), prefix: 'sk-old' })),
    };
    const answer = await patiently(() =>
      cluster.replica(0).client.post('/api-keys/import', { token: cluster.adminToken, body }),
    );
    const results = (answer.body.results ?? []) as { id: string | null }[];
    if (results.some(({ id }) => id === null) || results.length === 0)
      throw new Error(`import answered ${answer.status}: ${JSON.stringify(answer.body).slice(0, 300)}`);
    keys.push(...results.map(({ id }, index) => ({ id: id!, secret: secrets[index]! })));
  }
  return keys;
}

async function many<T>(count: number, make: () => Promise<T>): Promise<T[]> {
  const made: T[] = [];
  while (made.length < count) made.push(await make());
  return made;
}

/** Asks replicas in turn, each sign-in from an address of its own: no throttle decides. */
class Asked {
  private turn = 0;

  constructor(
    private readonly cluster: ProofCluster,
    private readonly random: Random,
  ) {}

  async verify(key: string, code: string, violations: string[]): Promise<void> {
    const found = await this.codeOf(key);
    if (found !== code) violations.push(`a key verifies as ${found}, and should be ${code}`);
  }

  /** What is stored may look like anything, and must not be a key. */
  async refuses(text: string, violations: string[]): Promise<void> {
    const found = await this.codeOf(text);
    if (found !== 'NOT_FOUND' && found !== 'MALFORMED') violations.push(`what is stored verifies as ${found}`);
  }

  async signIn(email: string, password: string, status: number, violations: string[]): Promise<void> {
    const address = Array.from({ length: 3 }, () => 1 + this.random.integer(254)).join('.');
    const headers = { 'x-forwarded-for': `10.${address}` };
    const answer = await patiently(() =>
      this.next().client.post('/auth/login', { body: { email, password }, headers }),
    );
    if (answer.status !== status)
      violations.push(`a sign-in was answered ${answer.status} ${answer.body?.code}, and should be ${status}`);
  }

  private async codeOf(key: string): Promise<string> {
    const answer = await patiently(() =>
      this.next().client.post('/verify', { token: this.cluster.adminToken, body: { key } }),
    );
    return String(answer.body.code);
  }

  private next() {
    return this.cluster.replica((this.turn += 1));
  }
}
