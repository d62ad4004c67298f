import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { bookDifferences } from '../harness/books.js';
import { ADMIN, environmentOf, modulesOf, patiently, ProofDatabase, Replica } from '../harness/cluster.js';
import type { Experiment, Floor } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import type { ProofAnswer } from '../harness/http-client.js';
import { buildOfCommit, buildWithEdited, FIRST_RELEASE, type OtherBuild } from '../harness/other-builds.js';
import { runProgram } from '../harness/program.js';
import type { Random } from '../harness/random.js';
import { rollBackAndForward } from '../upgrade/rolled-back-credentials.js';
import { freePorts } from '../../support/free-port.js';

const BESIDE_MS = { ci: 12_000, full: 120_000 } as const;
const ALONE_MS = { ci: 4_000, full: 30_000 } as const;
const WORKERS = 6;
const HOUR_LIMIT = 100;
const BUDGET_CENTS = 40;
const ASKED = 120;
/** So often each thing must have been done on each build; less shows nothing. */
const FLOOR = 3;
/** A start that is refused ends long before. */
const START_TIMEOUT_MS = 120_000;
const MAX_VIOLATIONS = 20;

/** Done to the database by hand, and undone. */
const EDITS: readonly { readonly what: string; readonly edit: string; readonly undo: string }[] = [
  {
    what: 'a changed function',
    edit: `ALTER FUNCTION quota_ms(timestamptz) RENAME TO kept; CREATE FUNCTION quota_ms(instant timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 1'`,
    undo: 'DROP FUNCTION quota_ms(timestamptz); ALTER FUNCTION kept(timestamptz) RENAME TO quota_ms',
  },
  {
    what: 'a missing index',
    edit: 'ALTER INDEX session_user_idx RENAME TO kept',
    undo: 'ALTER INDEX kept RENAME TO session_user_idx',
  },
  {
    what: 'a missing column',
    edit: 'ALTER TABLE replica RENAME COLUMN lag_ms TO kept',
    undo: 'ALTER TABLE replica RENAME COLUMN kept TO lag_ms',
  },
];

/** Files that a build reads of its sources; an edit of one makes it another build. */
const EDITED_FILES = ['src/database/migrations/1790000000400-usage.ts', 'src/database/functions/usage_book.sql'];

/**
 * A server of the first release under load gets one of this build beside it, which migrates the database under it: both
 * verify, reserve, settle, report and change keys, and know what the other did. Then the first release alone, on the
 * database as it is now, and this build again. What the first release stores after a roll back, when this build takes
 * nothing unbound any more, is refused until it is accepted. At last, what was edited is refused at the start, with one
 * sentence.
 */
export const g45: Experiment = {
  id: 'G45',
  guarantee:
    'every released schema upgrades, and rolls back: old beside new, the old build restarted after, the books balanced and the chain whole; an edited migration or function is refused at boot',
  inCi: true,
  fault: { what: 'the runner takes what it expects for what there is', patch: 'sees-no-edits.mjs' },
  run: async ({ size, random, log, fault }) => {
    const before = await buildOfCommit(FIRST_RELEASE);
    if (before === null) return { skipped: `git has no commit ${FIRST_RELEASE} here (a shallow clone?)` };
    log('the first release is built');
    const database = await ProofDatabase.start({}, true);
    const environment = environmentOf(database);
    const ports = await freePorts(2);
    const older = new Replica('the first release', ports[0]!, environment, [], before.program);
    const newer = new Replica('this build', ports[1]!, { ...environment, LOG_LEVEL: 'info' }, modulesOf(fault));
    const violations: string[] = [];
    try {
      const load = await Load.start(older, newer, random, violations);
      const upgradeMs = await upgradeUnderLoad(load, newer, violations);
      await load.run([older, newer], BESIDE_MS[size]);
      const shared = await load.shareLimits();
      log(`beside each other: ${load.total} calls; the upgrade took ${upgradeMs} ms`);
      await Promise.all([older.end('SIGTERM'), newer.end('SIGTERM')]);
      await older.start();
      await load.run([older], ALONE_MS[size]);
      await older.end('SIGTERM');
      await newer.start();
      await load.run([newer], ALONE_MS[size]);
      violations.push(
        ...(await bookDifferences({ database })),
        ...(await objections(newer, load, environment)),
        ...(await tooManyRights(database)),
      );
      await newer.end('SIGTERM');
      const { token, caller } = load;
      const rolledBack = await rollBackAndForward({ database, environment, older, newer, token, caller }, violations);
      log(`back and forward again: ${rolledBack} answers to credentials of the first release`);
      const refused =
        violations.length > 0
          ? 0
          : await refusals(database, environment, fault === undefined ? [] : modulesOf(fault), violations);
      const floors = [
        floor('edited schemas refused at the start', refused, EDITS.length + EDITED_FILES.length),
        floor('answers to credentials that the first release stored', rolledBack, 1),
        ...load.floors(),
      ] as const;
      return {
        violations,
        floors,
        figures: { upgradeMs, calls: load.total, again: load.again, ...shared, rolledBack, refusedStarts: refused },
      };
    } finally {
      for (const replica of [older, newer]) {
        await replica.end('SIGKILL');
        replica.client.close();
      }
      await database.stop();
      await before.remove();
    }
  },
};

const ACTS = ['verified', 'reported', 'repeated', 'settled', 'created', 'revoked'] as const;
type Act = (typeof ACTS)[number];

/** An event that is a duplicate when it is sent again after a 503: the first call had booked it, or another had. */
const BOOKED = 'accepted or duplicate';

/**
 * What clients of both builds do, and what they must be told. A call that is answered with 503 is made again, as the
 * answer says; what it says then is what counts.
 */
class Load {
  total = 0;
  /** Calls that were made again after a 503. */
  again = 0;
  private readonly done = new Map<string, number>();
  private readonly keys: { id: string; secret: string }[] = [];
  /** A key that may verify and report. */
  caller = '';
  private names = 0;

  private constructor(
    readonly older: Replica,
    private readonly newer: Replica,
    private readonly random: Random,
    private readonly violations: string[],
    readonly token: string,
  ) {}

  static async start(older: Replica, newer: Replica, random: Random, violations: string[]): Promise<Load> {
    await older.start();
    const { body } = await patiently(() => older.client.post('/auth/login', { body: ADMIN }));
    const load = new Load(older, newer, random, violations, body.accessToken as string);
    load.caller = (await load.create(older, { roles: ['gateway'] })).secret;
    for (let key = 0; key < 10; key += 1) load.keys.push(await load.create(older, { budgetLimitCents: 1_000_000 }));
    return load;
  }

  /** Until `durationMs` have passed, or `until` has come to its end. */
  async run(
    replicas: readonly Replica[],
    durationMs: number,
    until: Promise<unknown> = sleep(durationMs),
  ): Promise<void> {
    let isOver = false;
    const over = until.finally(() => (isOver = true));
    const worker = async () => {
      while (!isOver && this.violations.length < MAX_VIOLATIONS) {
        await this.act(this.random.pick(replicas), this.random.pick(replicas)).catch((error: Error) =>
          this.violations.push(`a call came to nothing: ${error.message}`),
        );
        await sleep(5);
      }
    };
    await Promise.all([over, ...Array.from({ length: WORKERS }, worker)]);
  }

  /** Both builds at once on one rate limit and one budget: together they may not give more than one would. */
  async shareLimits(): Promise<{ admitted: number; reserved: number }> {
    const limited = await this.create(this.newer, { rateLimitPerHour: HOUR_LIMIT });
    const funded = await this.create(this.newer, { budgetLimitCents: BUDGET_CENTS });
    const count = async (key: string, more: object) => {
      const verdicts = await Promise.all(
        Array.from({ length: ASKED }, (_, call) => this.verify(call % 2 === 0 ? this.older : this.newer, key, more)),
      );
      return verdicts.filter(({ valid }) => valid === true).length;
    };
    const admitted = await count(limited.secret, {});
    const reserved = await count(funded.secret, { reserveCents: 1, reservationTtlSeconds: 600 });
    if (admitted > HOUR_LIMIT || admitted < 0.8 * HOUR_LIMIT)
      this.violations.push(`${admitted} calls of ${HOUR_LIMIT}`);
    if (reserved > BUDGET_CENTS || reserved < 0.8 * BUDGET_CENTS)
      this.violations.push(`${reserved} of ${BUDGET_CENTS} cents were reserved`);
    return { admitted, reserved };
  }

  /** Each build did each of the acts. */
  floors(): Floor[] {
    const acts = [this.older, this.newer].flatMap(({ name }) => ACTS.map((act) => `${act} by ${name}`));
    return acts.map((act) => floor(act, this.done.get(act) ?? 0, FLOOR));
  }

  private async act(one: Replica, other: Replica): Promise<void> {
    const key = this.random.pick(this.keys);
    const choice = this.random.next();
    if (choice < 0.4) {
      const { valid, code } = await this.verify(one, key.secret, {});
      this.note('verified', one, valid === true, `a key is ${String(code)}`);
    } else if (choice < 0.7) {
      await this.report(one, other, key.id);
    } else if (choice < 0.85) {
      const { reservation, code } = await this.verify(one, key.secret, { reserveCents: 2 });
      if (reservation === undefined) return this.note('settled', one, false, `nothing was reserved: ${String(code)}`);
      const answer = await this.book(other, {
        id: this.name(),
        apiKeyId: key.id,
        reservationId: reservation.id,
        costCents: 1.5,
      });
      this.note(
        'settled',
        other,
        answer === 'accepted' || answer === BOOKED,
        `a reservation of ${one.name} was ${answer}`,
      );
    } else {
      const made = await this.create(one, {});
      const { valid, code } = await this.verify(other, made.secret, {});
      this.note('created', one, valid === true, `a new key is ${String(code)} on ${other.name}`);
      const { answer, attempts } = await this.ask(() =>
        other.client.post(`/api-keys/${made.id}/revoke?wait=true`, { token: this.token }),
      );
      const after = await this.verify(one, made.secret, {});
      this.note(
        'revoked',
        other,
        (answer.status === 200 || (answer.status === 409 && attempts > 1)) && after.code === 'REVOKED',
        `revoke answered ${answer.status}, and the key is ${String(after.code)} on ${one.name}`,
      );
    }
  }

  private async report(one: Replica, other: Replica, apiKeyId: string): Promise<void> {
    const event = { id: this.name(), apiKeyId, costCents: 0.25, inputTokens: 10, model: 'gpt-4o' };
    const first = await this.book(one, event);
    this.note('reported', one, first === 'accepted' || first === BOOKED, `an event was ${first}`);
    const second = await this.book(other, event);
    this.note(
      'repeated',
      other,
      second === 'duplicate' || second === BOOKED,
      `an event that ${one.name} had booked was ${second}`,
    );
  }

  private async book(replica: Replica, event: object): Promise<string> {
    const { answer, attempts } = await this.ask(() =>
      replica.client.post('/usage', { apiKey: this.caller, body: { events: [event] } }),
    );
    if (answer.status !== 200) return `answered with ${answer.status}`;
    const outcome = String(answer.body.results[0].outcome);
    return outcome === 'duplicate' && attempts > 1 ? BOOKED : outcome;
  }

  private async verify(
    replica: Replica,
    key: string,
    more: object,
  ): Promise<{ valid?: boolean; code?: string; reservation?: { id: string } }> {
    const { answer } = await this.ask(() =>
      replica.client.post('/verify', { apiKey: this.caller, body: { key, ...more } }),
    );
    const { status, body } = answer;
    return status === 200 ? body : { code: `answered with ${status}` };
  }

  private async create(replica: Replica, fields: object): Promise<{ id: string; secret: string }> {
    const { answer } = await this.ask(() =>
      replica.client.post('/api-keys', { token: this.token, body: { name: this.name(), ...fields } }),
    );
    const { status, body } = answer;
    if (status !== 201) throw new Error(`create answered ${status} on ${replica.name}`);
    return { id: body.apiKey.id as string, secret: body.secretKey as string };
  }

  private async ask(call: () => Promise<ProofAnswer>): Promise<{ answer: ProofAnswer; attempts: number }> {
    let attempts = 0;
    const answer = await patiently(() => {
      attempts += 1;
      return call();
    });
    this.again += attempts - 1;
    return { answer, attempts };
  }

  private note(act: Act, { name }: Replica, isRight: boolean, otherwise: string): void {
    this.total += 1;
    if (!isRight) this.violations.push(`${name}: ${otherwise}`);
    else this.done.set(`${act} by ${name}`, (this.done.get(`${act} by ${name}`) ?? 0) + 1);
  }

  private name(): string {
    return `made ${(this.names += 1)}`;
  }
}

/** Starts this build while the first release works on; gives the milliseconds until it was ready. */
async function upgradeUnderLoad(load: Load, newer: Replica, violations: string[]): Promise<number> {
  const startedMs = performance.now();
  await load.run([load.older], 0, newer.start());
  const upgradeMs = Math.round(performance.now() - startedMs);
  if (!newer.output.join('').includes('checksums are kept from now on'))
    violations.push('this build did not say that it took over the database');
  return upgradeMs;
}

/** What the chain and the doctor of this build have against the database. */
async function objections(newer: Replica, { token }: Load, environment: Record<string, string>): Promise<string[]> {
  const { body } = await newer.client.post('/audit-events/verify', { token });
  const { code, output } = await runProgram(['dist/src/cli/doctor.js'], environment);
  return [
    ...(body.ok === true ? [] : [`the chain is broken: ${JSON.stringify(body)}`]),
    ...(code === 0 ? [] : [`the doctor ended with ${code}: ${output}`]),
  ];
}

/**
 * The first release grants all tables that there are to the application; this build takes back what it must not have.
 */
async function tooManyRights(database: ProofDatabase): Promise<string[]> {
  const rows = await database.query<{ right: string }>(
    `SELECT p.right FROM unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS p("right") WHERE has_table_privilege('latchkey_app', 'schema_checksum', p.right)`,
  );
  return rows.map(({ right }) => `the application has ${right} on schema_checksum`);
}

/** Gives how many starts were refused with one sentence; each other one is a violation. */
async function refusals(
  database: ProofDatabase,
  environment: Record<string, string>,
  imports: readonly string[],
  violations: string[],
): Promise<number> {
  let refused = 0;
  const expectRefusal = async (what: string, program: readonly string[]) => {
    const { code, output } = await startAndEnd(program, environment, imports);
    if (code === 1 && output.includes('Latchkey cannot start:') && !output.includes('    at ')) refused += 1;
    else violations.push(`${what}: the start ended with ${code}: ${output.slice(-300)}`);
  };
  for (const { what, edit, undo } of EDITS) {
    await database.query(edit);
    await expectRefusal(what, ['dist/src/server/main.js']);
    await database.query(undo);
  }
  for (const file of EDITED_FILES) {
    const edited: OtherBuild = await buildWithEdited(file);
    await expectRefusal(`an edited ${file}`, edited.program).finally(() => edited.remove());
  }
  return refused;
}

/** Ends it where it gets ready, which it should not; null is then its code. */
async function startAndEnd(
  program: readonly string[],
  environment: Record<string, string>,
  imports: readonly string[],
): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [...imports.flatMap((module) => ['--import', module]), ...program], {
    env: { PATH: process.env['PATH'], ...environment, PORT: String((await freePorts(1))[0]) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const timer = setTimeout(() => child.kill('SIGKILL'), START_TIMEOUT_MS);
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (output.includes('Latchkey is ready')) child.kill('SIGKILL');
    });
  }
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  clearTimeout(timer);
  return { code, output };
}
