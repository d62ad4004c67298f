import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { bookDifferences } from '../harness/books.js';
import { patiently, ProofCluster, Replica } from '../harness/cluster.js';
import { EmbeddedInstallation } from '../harness/embedded-installation.js';
import type { Experiment, ExperimentContext, Floor, Outcome } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import { FullDiskLoad } from '../harness/full-disk-load.js';
import { SmallDiskPostgres } from '../harness/small-disk-postgres.js';
import { SmallVolume } from '../harness/small-volume.js';

const REPLICAS = 2;
const FILES_MB = 24;
const TIMES = { ci: 2, full: 10 } as const;
const BEFORE_MS = 2_000;
const WHILE_FULL_MS = { ci: 4_000, full: 20_000 } as const;
/** Until PostgreSQL has used up what room its pages had. */
const FULL_WITHIN_MS = 60_000;
const RECOVERED_WITHIN_MS = 5_000;
/** On a busy machine a recovery takes so many times as long as the slowest answer before the disk was full. */
const BUSY = 10;
/** A condition that does not hold any more is told so within this. */
const TOLD_WITHIN_MS = 30_000;
/** One line of the log and one of the checkpoint file that fail would do. */
const CHANGES_WHILE_FULL = 20;

type Cluster = ProofCluster<SmallDiskPostgres>;

/**
 * The volume of PostgreSQL's tables is full, so that it refuses statements and goes on (SQLSTATE 53100). Then the
 * volume with the server's own files is: checkpoint file and log. Room is made each time, and nothing is restarted.
 */
export const g31: Experiment = {
  id: 'G31',
  guarantee:
    'a full disk: nothing is acknowledged that is not committed, what does not work is told, and all goes on by itself once there is room',
  inCi: true,
  fault: { what: 'reports are acknowledged before they are committed', patch: 'acknowledges-before-commit.mjs' },
  run: async (context): Promise<Outcome> => {
    const database = await SmallDiskPostgres.start('tables');
    if (typeof database === 'string') return { skipped: database };
    const files = await SmallVolume.mount(FILES_MB);
    if (files === null) {
      await database.stop();
      return { skipped: 'no volume can be mounted here' };
    }
    const settings = { AUDIT_CHECKPOINT_FILE: join(files.path, 'checkpoints') };
    const cluster = await ProofCluster.startOn(database, REPLICAS, settings, context.fault).catch(
      async (error: unknown) => {
        await files.unmount();
        throw error;
      },
    );
    try {
      return await new Trial(cluster, files, context).run();
    } finally {
      await cluster.stop();
      await files.unmount();
    }
  },
};

class Trial {
  private readonly violations: string[] = [];
  private readonly figures: Record<string, number> = {};
  /** By what was seen before the disk was full for the first time. */
  private boundMs = 0;

  constructor(
    private readonly cluster: Cluster,
    private readonly files: SmallVolume,
    private readonly context: ExperimentContext,
  ) {}

  async run(): Promise<Outcome> {
    const key = await this.cluster.createKey();
    const load = new FullDiskLoad(this.cluster, key.id);
    const running = load.run();
    for (let time = 0; time < TIMES[this.context.size]; time += 1) await this.fullTables(load, key.secret);
    load.end();
    await running;
    await this.compareStored(load, key.id);
    await this.fullFiles();
    await this.fullBackup();
    this.violations.push(...(await bookDifferences(this.cluster)));
    const { report } = await this.cluster.doctor();
    if (!report.includes('The audit trail is whole')) this.violations.push(`the trail is not whole: ${report}`);
    for (const { name, isRunning } of this.cluster.replicas) if (!isRunning) this.violations.push(`${name} ended`);
    return {
      violations: [...load.violations.slice(0, 20), ...this.violations],
      floors: this.floors(),
      figures: this.figures,
    };
  }

  private floors(): [Floor, ...Floor[]] {
    const least = {
      refusedStatements: 4,
      acknowledged: 100,
      refused: 20,
      keys: 5,
      revoked: 1,
      changesWithFullFiles: CHANGES_WHILE_FULL,
      checkpointLines: 2,
    };
    const [first, ...others] = Object.entries(least).map(([what, atLeast]) =>
      floor(what, this.figures[what] ?? 0, atLeast),
    );
    return [first!, ...others];
  }

  private async fullTables(load: FullDiskLoad, secret: string): Promise<void> {
    const { database } = this.cluster;
    await sleep(BEFORE_MS);
    const refusedBefore = await database.refusals();
    const acknowledgedBefore = load.acknowledged.length;
    this.boundMs ||= Math.max(RECOVERED_WITHIN_MS, BUSY * load.slowestMs);
    await database.fill(0);
    const filledAt = performance.now();
    while ((await database.refusals()) === refusedBefore && performance.now() < filledAt + FULL_WITHIN_MS)
      await sleep(100);
    const fullAfterMs = Math.round(performance.now() - filledAt);
    await sleep(WHILE_FULL_MS[this.context.size]);
    const refused = (await database.refusals()) - refusedBefore;
    // A key that is cached needs no disk.
    const verdict = await this.cluster
      .replica(0)
      .client.post('/verify', { token: this.cluster.adminToken, body: { key: secret } });
    if (verdict.body.valid !== true)
      this.violations.push(`a cached key while the disk was full: ${verdict.status} ${String(verdict.body.code)}`);
    if (await database.hasPanicked()) this.violations.push('PostgreSQL stopped with a PANIC: another thing was tried');
    await database.free();
    const recoveredMs = await this.recovered(load);
    this.add('refusedStatements', refused);
    this.add('acknowledgedBefore', acknowledgedBefore);
    this.figures['slowestRecoveryMs'] = Math.max(this.figures['slowestRecoveryMs'] ?? 0, recoveredMs);
    if (recoveredMs > this.boundMs)
      this.violations.push(`reports and changes worked ${recoveredMs} ms after there was room`);
    this.context.log(
      `tables full after ${fullAfterMs} ms: ${refused} statements refused; works again after ${recoveredMs} ms`,
    );
  }

  /** Until a report and a new key have been acknowledged that were asked for after this. */
  private async recovered(load: FullDiskLoad): Promise<number> {
    const roomAt = performance.now();
    const { acknowledged, created } = load;
    const [reports, keys] = [acknowledged.length, created.length];
    while (
      (acknowledged.length === reports || created.length === keys) &&
      performance.now() < roomAt + 6 * this.boundMs
    )
      await sleep(20);
    return Math.round(performance.now() - roomAt);
  }

  /** A change without an answer may have happened: more is possible, fewer is not. */
  private async compareStored(load: FullDiskLoad, keyId: string): Promise<void> {
    const { database } = this.cluster;
    const stored = await database.query<{ id: string }>('SELECT event_id AS id FROM usage_event WHERE key_id = $1', [
      keyId,
    ]);
    const ids = new Set(stored.map(({ id }) => id));
    const missing = load.acknowledged.filter((id) => !ids.has(id));
    if (missing.length > 0)
      this.violations.push(`${missing.length} of ${load.acknowledged.length} acknowledged reports are missing`);
    const keys = await database.query<{ id: string; revoked: boolean }>(
      'SELECT id, revoked_at IS NOT NULL AS revoked FROM api_key WHERE id = ANY($1)',
      [load.created],
    );
    if (keys.length !== load.created.length)
      this.violations.push(`${load.created.length} keys were acknowledged, ${keys.length} are there`);
    const revoked = new Set(keys.filter((one) => one.revoked).map(({ id }) => id));
    const alive = load.revoked.filter((id) => !revoked.has(id));
    if (alive.length > 0)
      this.violations.push(`${alive.length} of ${load.revoked.length} acknowledged revocations did not happen`);
    Object.assign(this.figures, {
      acknowledged: load.acknowledged.length,
      keys: load.created.length,
      revoked: load.revoked.length,
      refused: load.refused,
      unanswered: load.unanswered,
    });
  }

  /** Checkpoint file and log of one more replica have no room. */
  private async fullFiles(): Promise<void> {
    const log = join(this.files.path, 'log');
    const spare = await this.cluster.spare('the one with a full log', { LOG_LEVEL: 'info' }, log);
    await spare.start();
    try {
      await this.files.fill();
      const full = performance.now();
      await this.changesWork(spare);
      const told = await this.waitForConditions(spare, (names) => names.includes('log') && names.includes('changeLog'));
      if (!told) this.violations.push('a full disk of the server is not told by /health: log, changeLog');
      await this.files.free();
      await this.changesWork(spare);
      if (!(await this.waitForConditions(spare, (names) => !names.includes('log') && !names.includes('changeLog'))))
        this.violations.push('/health still tells of a full disk after there was room');
      this.context.log(`own files full for ${Math.round(performance.now() - full)} ms`);
      if (!spare.isRunning) this.violations.push('a full disk under its log ended a server');
      await this.readLog(log);
      await this.readCheckpoints();
    } finally {
      await spare.end('SIGKILL');
      spare.client.close();
    }
  }

  /** A backup has no room: it says so, and leaves nothing that looks like one. */
  private async fullBackup(): Promise<void> {
    const installation = await EmbeddedInstallation.start(1);
    try {
      await this.files.fill();
      const { exitCode, output } = await installation.run('cli/backup', [join(this.files.path, 'backup')]);
      await this.files.free();
      const left = (await readdir(this.files.path)).filter((name) => name.startsWith('backup'));
      if (exitCode !== 1 || !/could not be written: ENOSPC/.test(output))
        this.violations.push(`a backup without room ended with ${exitCode}: ${output}`);
      if (left.length > 0) this.violations.push(`a backup without room left ${left.join()}`);
    } finally {
      await installation.stop();
    }
  }

  private async changesWork(replica: Replica): Promise<void> {
    for (let change = 0; change < CHANGES_WHILE_FULL; change += 1) await this.changeWorks(replica);
  }

  private async changeWorks({ client }: Replica): Promise<void> {
    const { status } = await patiently(() => client.post('/api-keys', { token: this.cluster.adminToken, body: {} }));
    if (status !== 201) this.violations.push(`a key while the server's own disk was full: ${status}`);
    else this.add('changesWithFullFiles', 1);
  }

  /** What has the rest of a page is full with one of the next lines: changes go on until it is told. */
  private async waitForConditions(replica: Replica, isSo: (broken: readonly string[]) => boolean): Promise<boolean> {
    const until = performance.now() + TOLD_WITHIN_MS;
    while (performance.now() < until) {
      const { body } = await replica.client.request('GET', '/health/ready', {});
      const details = Object.entries((body.details ?? {}) as Record<string, { status: string }>);
      if (isSo(details.filter(([, { status }]) => status !== 'up').map(([name]) => name))) return true;
      await this.changeWorks(replica);
      await sleep(200);
    }
    return false;
  }

  /** No line of the log was cut: what waited for room was written behind what there was. */
  private async readLog(path: string): Promise<void> {
    const lines = (await readFile(path, 'utf8')).split('\n').filter((line) => line !== '');
    const broken = lines.filter((line) => !line.startsWith('{') || !line.endsWith('}'));
    this.figures['logLines'] = lines.length;
    if (broken.length > 0)
      this.violations.push(`${broken.length} lines of the log are broken: ${broken[0]!.slice(0, 100)}`);
  }

  /** The file covers the trail without a gap, from its first line to the head. */
  private async readCheckpoints(): Promise<void> {
    const [head] = await this.cluster.database.query<{ seq: string }>('SELECT seq FROM change_head');
    const until = performance.now() + TOLD_WITHIN_MS;
    let found = await this.coverage();
    while (found.upTo < BigInt(head!.seq) && performance.now() < until) {
      await sleep(500);
      found = await this.coverage();
    }
    this.figures['checkpointLines'] = found.lines;
    if (found.upTo < BigInt(head!.seq))
      this.violations.push(`the checkpoint file covers the trail up to ${found.upTo} of ${head!.seq}`);
    if (found.gaps > 0) this.violations.push(`the checkpoint file has ${found.gaps} gaps`);
  }

  private async coverage(): Promise<{ upTo: bigint; gaps: number; lines: number }> {
    const names = await readdir(this.files.path);
    const texts = await Promise.all(
      names
        .filter((name) => name.startsWith('checkpoints'))
        .map((name) => readFile(join(this.files.path, name), 'utf8')),
    );
    const lines = texts
      .flatMap((text) => text.split('\n'))
      .flatMap((line) => (line.includes('latchkey-audit-changes/1') ? readLine(line) : []));
    let upTo: bigint | null = null;
    let gaps = 0;
    for (const { after, seq } of lines) {
      if (upTo !== null && BigInt(after) > upTo) gaps += 1;
      if (upTo === null || BigInt(seq) > upTo) upTo = BigInt(seq);
    }
    return { upTo: upTo ?? 0n, gaps, lines: lines.length };
  }

  private add(name: string, count: number): void {
    this.figures[name] = (this.figures[name] ?? 0) + count;
  }
}

/** None where the line was cut by the full disk. */
function readLine(line: string): { after: string; seq: string }[] {
  try {
    return [JSON.parse(line) as { after: string; seq: string }];
  } catch {
    return [];
  }
}
