import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ProofDatabase, patiently, type Replica } from '../harness/cluster.js';
import { runProgram } from '../harness/program.js';

/** How long a state may take to be there, of which nothing but a timer of some seconds is known. */
const PATIENCE_MS = 90_000;

/** What takes part: one build after the other, on the database that both know. */
export interface RollBack {
  readonly database: ProofDatabase;
  readonly environment: Readonly<Record<string, string>>;
  readonly older: Replica;
  readonly newer: Replica;
  readonly token: string;
  /** A key that may verify. */
  readonly caller: string;
}

/** A password and an imported secret, and what a build says to each. */
interface Credentials {
  readonly person: { readonly email: string; readonly password: string };
  readonly secret: string;
}

const PASSWORD = 'nine small boats at sea';

/**
 * This build has said that it takes nothing without a binding any more; then the release before stores a password and
 * an imported secret. They are refused from then on and the doctor names them, until `rows:accept` binds them. Both
 * builds are stopped before and after. Gives how many credentials were refused, and taken once accepted.
 */
export async function rollBackAndForward(rollBack: RollBack, violations: string[]): Promise<number> {
  const { environment, older, newer } = rollBack;
  await asIfMinutesAgo(rollBack);
  await newer.start();
  await untilBound(rollBack);
  await newer.end('SIGTERM');
  await older.start();
  const stored = await store(rollBack);
  const there = await answersOf(rollBack, older, stored);
  if (there.some((answer) => answer !== 'taken'))
    violations.push(`the first release answers its own: ${there.join(', ')}`);
  await older.end('SIGTERM');
  await asIfMinutesAgo(rollBack);
  const doctor = await runProgram(['dist/src/cli/doctor.js'], environment);
  const named = doctor.output.match(/Nothing of this installation has bound/g)?.length ?? 0;
  if (doctor.code !== 1 || named !== 2)
    violations.push(`the doctor after a roll back ended with ${doctor.code} and named ${named}: ${doctor.output}`);
  await newer.start();
  const refused = await answersOf(rollBack, newer, stored);
  if (refused.some((answer) => answer !== 'refused'))
    violations.push(`what the first release has stored since is, unaccepted: ${refused.join(', ')}`);
  const accepting = await runProgram(['dist/src/cli/rows-accept.js', '--all'], environment);
  if (accepting.code !== 0)
    violations.push(`rows:accept ended with ${accepting.code}: ${accepting.output.slice(-500)}`);
  const taken = await eventually(() => answersOf(rollBack, newer, stored), 'taken');
  if (taken.some((answer) => answer !== 'taken'))
    violations.push(`what was accepted by rows:accept is: ${taken.join(', ')}`);
  await newer.end('SIGTERM');
  return [...refused, ...taken].filter((answer) => answer === 'refused' || answer === 'taken').length;
}

/** The replicas of the release before were seen long enough ago to be gone. */
async function asIfMinutesAgo({ database }: RollBack): Promise<void> {
  await database.query(`UPDATE replica SET seen_at = seen_at - interval '10 minutes' WHERE build_level IS NULL`);
}

async function untilBound({ database }: RollBack): Promise<void> {
  for (const deadlineMs = performance.now() + PATIENCE_MS; ; await sleep(250)) {
    const found = await database.query(`SELECT 1 FROM audit_event WHERE action = 'system:bind-credentials'`);
    if (found.length > 0) return;
    if (performance.now() > deadlineMs)
      throw new Error('This build did not bind the credentials of the first release.');
  }
}

async function store({ older, token }: RollBack): Promise<Credentials> {
  const person = { email: `${randomBytes(6).toString('hex')}@latchkey.test`, password: PASSWORD };
  const secret = `sk-${randomBytes(24).toString('base64url')}`;
  const made = await patiently(() =>
    older.client.post('/users', { token, body: { ...person, name: 'Made after a roll back', roles: [] } }),
  );
  const keys = [{ sha256: createHash('sha256').update(secret).digest('hex'), prefix: secret.slice(0, 8) }];
  const imported = await patiently(() => older.client.post('/api-keys/import', { token, body: { keys } }));
  if (made.status !== 201 || imported.body.counts?.created !== 1)
    throw new Error(`The first release stored nothing: ${made.status}, ${JSON.stringify(imported.body)}`);
  return { person, secret };
}

/** To the password and to the secret: taken, refused, or what else was answered. */
async function answersOf({ caller }: RollBack, replica: Replica, { person, secret }: Credentials): Promise<string[]> {
  const login = await patiently(() => replica.client.post('/auth/login', { body: person }));
  const verify = await patiently(() => replica.client.post('/verify', { apiKey: caller, body: { key: secret } }));
  return [
    login.status === 200 ? 'taken' : login.status === 401 ? 'refused' : `answered with ${login.status}`,
    verify.body.code === 'VALID'
      ? 'taken'
      : verify.body.code === 'NOT_FOUND'
        ? 'refused'
        : `verified as ${verify.body.code}`,
  ];
}

/** What is accepted reaches a running server with the changes. */
async function eventually(ask: () => Promise<string[]>, wanted: string): Promise<string[]> {
  for (const deadlineMs = performance.now() + 15_000; ; await sleep(500)) {
    const answers = await ask();
    if (answers.every((answer) => answer === wanted) || performance.now() > deadlineMs) return answers;
  }
}
