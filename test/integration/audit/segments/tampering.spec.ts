import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { DataSource, EntityManager } from 'typeorm';
import { checkpointKey } from '../../../../src/audit/checkpoint.js';
import { AuditSealer } from '../../../../src/audit/segments/audit-sealer.js';
import { signSummary, type SignedSummary } from '../../../../src/audit/segments/segment-summary.js';
import { verifySegments, verifyTrail, type VerifyAnswer } from '../../../../src/audit/verify-command.js';
import { dataSource } from '../../../../src/database/data-source.js';
import { TestApp } from '../../../support/app.js';
import { ageTrail } from '../../../support/aged-trail.js';
import { createTestDirectory } from '../../../support/postgres.js';
import { addEntries, makeTrail } from './made-trail.js';

const RUNS_PER_KIND = 8;
const ORDER = fc.integer({ min: 0, max: 10_000 });

type Tamper = (tx: EntityManager, at: number) => Promise<unknown>;
/** Files by their names. */
type Files = Map<string, Buffer>;

/** A row of these, the `at`-th in their order. */
const nth = (table: string, column: string, at: number, where = 'true') =>
  `(SELECT ${column} FROM ${table} WHERE ${where} ORDER BY ${column} OFFSET (SELECT ${at} % count(*) FROM ${table} WHERE ${where}) LIMIT 1)`;
const CUT = '(SELECT max(to_seq) FROM audit_segment)';
const KEPT = (at: number) => nth('audit_kept', 'seq', at);
const SEGMENT = (at: number) => nth('audit_segment', 'to_seq', at);
const oneOf = <T>(values: readonly T[], at: number): T => values[at % values.length]!;

/** Of the database's owner, with its triggers switched off. */
const IN_DATABASE: Record<string, Tamper> = {
  'an entry that stayed is edited': (tx, at) =>
    tx.query(
      `UPDATE audit_event SET ${oneOf(
        [
          `action = action || 'x'`,
          `body = overlay(body placing CASE substr(body, length(body) / 2, 1) WHEN 'x' THEN 'y' ELSE 'x' END from length(body) / 2 for 1)`,
          `hash = sha256(hash)`,
          `at = at + interval '1 s'`,
        ],
        at,
      )} WHERE seq = ${KEPT(at)}`,
    ),
  'an entry that stayed is removed': (tx, at) => tx.query(`DELETE FROM audit_event WHERE seq = ${KEPT(at)}`),
  'an entry that stayed is removed without a trace': async (tx, at) => {
    const [row] = await tx.query<{ seq: string }[]>(`SELECT ${KEPT(at)} AS seq`);
    await tx.query('DELETE FROM audit_event WHERE seq = $1', [row!.seq]);
    await tx.query('DELETE FROM audit_kept WHERE seq = $1', [row!.seq]);
  },
  'an entry is put among those that stayed': (tx, at) =>
    tx.query(
      `INSERT INTO audit_event SELECT (jsonb_populate_record(e, jsonb_build_object('seq', s.seq, 'id', gen_random_uuid()))).*
         FROM audit_event e, (SELECT n AS seq FROM generate_series(1, ${CUT}) n WHERE n NOT IN (SELECT seq FROM audit_kept) ORDER BY n OFFSET ${at % 20} LIMIT 1) s
        WHERE e.seq = ${KEPT(at)}`,
    ),
  'an entry that went is put back as one that stayed': async (tx, at) => {
    await IN_DATABASE['an entry is put among those that stayed']!(tx, at);
    await tx.query(
      `INSERT INTO audit_kept SELECT seq, sha256('x'), hash FROM audit_event WHERE seq <= ${CUT} AND seq NOT IN (SELECT seq FROM audit_kept)`,
    );
  },
  'what an entry that stayed follows is edited': (tx, at) =>
    tx.query(`UPDATE audit_kept SET ${oneOf(['previous', 'hash'], at)} = sha256('x') WHERE seq = ${KEPT(at)}`),
  'a cut is removed': (tx, at) => tx.query(`DELETE FROM audit_segment WHERE to_seq = ${SEGMENT(at)}`),
  'all cuts are removed': (tx) => tx.query('DELETE FROM audit_segment'),
  'a cut is edited': (tx, at) =>
    tx.query(
      `UPDATE audit_segment SET ${oneOf(
        [
          'from_seq = 1, to_seq = (SELECT max(to_seq) + 1 FROM audit_segment)',
          `previous_hash = sha256('x')`,
          `hash = sha256('x')`,
          `summary = jsonb_set(summary::jsonb, '{sha256}', to_jsonb(encode(sha256('x'), 'hex')))::json`,
          `summary = jsonb_set(summary::jsonb, '{at}', '"2020-01-01T00:00:00.000Z"')::json`,
          `summary = jsonb_set(summary::jsonb, '{signature}', '"AAAA"')::json`,
        ],
        at,
      )} WHERE to_seq = ${SEGMENT(at)}`,
    ),
  'a cut is set further than what was sealed': async (tx, at) => {
    const [end] = await tx.query<{ seq: string }[]>(`SELECT ${CUT} + ${1 + (at % 15)} AS seq`);
    await tx.query(
      `INSERT INTO audit_segment (from_seq, to_seq, previous_hash, hash, summary)
       SELECT s.to_seq + 1, e.seq, s.hash, e.hash, jsonb_set(s.summary::jsonb, '{toSeq}', to_jsonb(e.seq::text))::json
         FROM audit_segment s, audit_event e WHERE s.to_seq = ${CUT} AND e.seq = $1`,
      [end!.seq],
    );
    await tx.query(`DELETE FROM audit_event WHERE seq < $1 AND seq NOT IN (SELECT seq FROM audit_kept)`, [end!.seq]);
    await tx.query('INSERT INTO audit_kept SELECT seq, hash, hash FROM audit_event WHERE seq = $1', [end!.seq]);
  },
  'the last cut is moved on, and the entries behind it are removed': async (tx, at) => {
    const [end] = await tx.query<{ seq: string; hash: Buffer }[]>(
      `SELECT seq, hash FROM audit_event WHERE seq = ${CUT} + ${1 + (at % 15)}`,
    );
    await tx.query(`DELETE FROM audit_event WHERE seq > ${CUT} AND seq < $1`, [end!.seq]);
    await tx.query(`UPDATE audit_segment SET to_seq = $1, hash = $2 WHERE to_seq = ${CUT}`, [end!.seq, end!.hash]);
  },
  'entries behind the cut are removed': (tx, at) =>
    tx.query(`DELETE FROM audit_event WHERE seq > ${CUT} AND seq <= ${CUT} + ${1 + (at % 15)}`),
  'an entry behind the cut is edited': (tx, at) =>
    tx.query(`UPDATE audit_event SET outcome = 'refused' WHERE seq = ${CUT} + ${1 + (at % 15)}`),
  'the entry that tells of a segment is removed': (tx) =>
    tx.query(
      `DELETE FROM audit_event WHERE action = 'audit:seal' AND seq = (SELECT max(seq) FROM audit_event WHERE action = 'audit:seal')`,
    ),
};

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const segmentAt = (files: Files, at: number) =>
  oneOf([...files.keys()].filter((name) => name.endsWith('.ndjson.gz')).sort(), at);
const summaryOf = (file: string) => file.replace('.ndjson.gz', '.summary.json');
const change = (files: Files, name: string, edit: (bytes: Buffer) => Buffer) => files.set(name, edit(files.get(name)!));
/** Edits the lines of a segment; `isTold`: its summary says so, but has its old signature. */
const edit = (files: Files, at: number, isTold: boolean, of: (lines: string[]) => string[]) => {
  const file = segmentAt(files, at);
  change(files, file, (bytes) => gzipSync(of(gunzipSync(bytes).toString().trimEnd().split('\n')).join('\n') + '\n'));
  if (!isTold) return;
  change(files, summaryOf(file), (bytes) => {
    const stored = files.get(file)!;
    return Buffer.from(JSON.stringify({ ...JSON.parse(String(bytes)), bytes: stored.length, sha256: sha256(stored) }));
  });
};

/** Of who can write the directory. */
const IN_FILES: Record<string, (files: Files, at: number, app: TestApp) => unknown> = {
  'a bit is turned': (files, at) =>
    change(files, segmentAt(files, at), (bytes) => {
      const turned = Buffer.from(bytes);
      turned[at % turned.length]! ^= 1;
      return turned;
    }),
  'a file is cut short': (files, at) =>
    change(files, segmentAt(files, at), (bytes) => bytes.subarray(0, at % bytes.length)),
  'an entry is edited': (files, at) =>
    edit(files, at, at % 2 === 0, (lines) =>
      lines.map((line, n) =>
        n === at % lines.length ? line.replace('"outcome":"success"', '"outcome":"refused"') : line,
      ),
    ),
  'an entry is removed': (files, at) =>
    edit(files, at, at % 2 === 0, (lines) => lines.filter((_, n) => n !== at % lines.length)),
  'an entry is there twice': (files, at) =>
    edit(files, at, at % 2 === 0, (lines) =>
      lines.flatMap((line, n) => (n === at % lines.length ? [line, line] : [line])),
    ),
  'entries are in another order': (files, at) =>
    // Of a single entry there is no other order.
    edit(files, at, at % 2 === 0, (lines) =>
      lines.length === 1 ? [...lines, ...lines] : [...lines.slice(1), lines[0]!],
    ),
  'a summary is edited': (files, at) =>
    change(files, summaryOf(segmentAt(files, at)), (bytes) => {
      const summary = JSON.parse(String(bytes)) as Record<string, unknown>;
      const name = oneOf(Object.keys(summary), at);
      const value = typeof summary[name] === 'number' ? Number(summary[name]) + 1 : `${String(summary[name])}0`;
      return Buffer.from(JSON.stringify({ ...summary, [name]: value }));
    }),
  'a summary is removed': (files, at) => files.delete(summaryOf(segmentAt(files, at))),
  'a segment is removed': (files, at) => {
    const file = segmentAt(files, at);
    files.delete(file);
    files.delete(summaryOf(file));
  },
  'a file is removed': (files, at) => files.delete(segmentAt(files, at)),
  'a segment is there twice': (files, at) => {
    const file = segmentAt(files, at);
    files.set('audit-changes-000000000000-copy.ndjson.gz', files.get(file)!);
    files.set('audit-changes-000000000000-copy.summary.json', files.get(summaryOf(file))!);
  },
  'two segments have changed places': (files, at) => {
    const [one, other] = [segmentAt(files, at), segmentAt(files, at + 1)];
    for (const name of [(file: string) => file, summaryOf]) {
      const bytes = files.get(name(one))!;
      files.set(name(one), files.get(name(other))!);
      files.set(name(other), bytes);
    }
  },
  'a segment is of another installation with the same keys': (files, at, app) =>
    resign(files, at, app.config.auditKeys[0]!.key, { installation: '00000000-0000-4000-8000-000000000000' }),
  'a summary is signed with another key': (files, at) => resign(files, at, Buffer.alloc(32, at % 256), {}),
};

function resign(files: Files, at: number, key: Buffer, changed: Partial<SignedSummary>): void {
  change(files, summaryOf(segmentAt(files, at)), (bytes) => {
    const { type: _, at: when, keyVersion, signature: __, ...content } = JSON.parse(String(bytes)) as SignedSummary;
    return Buffer.from(JSON.stringify(signSummary(checkpointKey(key), keyVersion, when, { ...content, ...changed })));
  });
}

describe('A check of the trail with its sealed segments', () => {
  let app: TestApp;
  let owner: DataSource;
  let directory: string;
  let files: Files;

  beforeAll(async () => {
    app = await TestApp.start();
    directory = await createTestDirectory();
    await makeTrail(app, await app.adminToken());
    const [last] = await app.dataSource.query<{ seq: string }[]>('SELECT seq FROM change_head');
    await addEntries(app, 20);
    await ageTrail(app.database, app.config.auditKeys, { upToSeq: last!.seq });
    await new AuditSealer(app.dataSource, app.config, { directory, keepMonths: 3, maxEntries: 15 }).sealAll();
    files = new Map(
      await Promise.all(
        (await readdir(directory)).map(async (name) => [name, await readFile(join(directory, name))] as const),
      ),
    );
    owner = await dataSource(app.database.ownerUrl, { max: 1 }).initialize();
  }, 60_000);
  afterAll(async () => {
    await owner.destroy();
    await app.stop();
  });

  /** What is found after `tamper` in the database, of which nothing remains. */
  const inDatabase = async (tamper: (tx: EntityManager) => Promise<unknown>): Promise<VerifyAnswer> => {
    const runner = owner.createQueryRunner();
    await runner.startTransaction();
    try {
      for (const table of ['audit_event', 'audit_kept', 'audit_segment'])
        await runner.query(`ALTER TABLE ${table} DISABLE TRIGGER ALL`);
      await tamper(runner.manager);
      return await verifyTrail(app.config, { manager: runner.manager } as DataSource, null, directory);
    } finally {
      await runner.rollbackTransaction();
      await runner.release();
    }
  };
  const write = async (content: Files) => {
    for (const name of await readdir(directory)) if (!content.has(name)) await rm(join(directory, name));
    for (const [name, bytes] of content) if (bytes !== files.get(name)) await writeFile(join(directory, name), bytes);
  };

  it('finds nothing where nothing was done, with the database and without it', async () => {
    expect(files.size).toBeGreaterThan(8);
    expect(await inDatabase(async () => undefined)).toMatchObject({ exitCode: 0 });
    expect(await verifySegments(app.config, directory, null)).toMatchObject({ exitCode: 0 });
  });

  it.each(Object.entries(IN_DATABASE))(
    'finds every random case in the database of: %s',
    async (_, tamper) => {
      await fc.assert(
        fc.asyncProperty(ORDER, async (at) => {
          expect(await inDatabase((tx) => tamper(tx, at))).toMatchObject({ exitCode: 1 });
        }),
        { numRuns: RUNS_PER_KIND },
      );
    },
    60_000,
  );

  it.each(Object.entries(IN_FILES))(
    'finds every random case in the files of: %s',
    async (name, tamper) => {
      await fc.assert(
        fc.asyncProperty(ORDER, async (at) => {
          const changed = new Map(files);
          tamper(changed, at, app);
          await write(changed);
          try {
            const isUntouched = [...files].every(([file, bytes]) => changed.get(file)?.equals(bytes) === true);
            fc.pre(!isUntouched || changed.size !== files.size);
            expect(await verifyTrail(app.config, owner, null, directory)).toMatchObject({ exitCode: 1 });
            // Without the database, what was sealed last and is gone is found by a checkpoint alone.
            const isLastGone = [...files.keys()]
              .sort()
              .slice(-2)
              .some((file) => !changed.has(file));
            const alone = await verifySegments(app.config, directory, null);
            expect([name, isLastGone || alone.exitCode === 1]).toEqual([name, true]);
          } finally {
            for (const file of changed.keys())
              if (changed.get(file) !== files.get(file)) await rm(join(directory, file), { force: true });
            for (const [file, bytes] of files) await writeFile(join(directory, file), bytes);
          }
        }),
        { numRuns: RUNS_PER_KIND },
      );
    },
    60_000,
  );
});
