import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { DataSource } from 'typeorm';
import type { Config } from '../config/config.js';
import { AuditEventsRepository } from './audit-events.repository.js';
import { ChainVerifier, type FirstBreak } from './chain-verifier.js';
import { checkpointPublicKeyPem } from './checkpoint.js';
import { type CheckpointState, CheckpointsRepository } from './checkpoints.repository.js';
import { checkCopy } from './copies/copy-check.js';
import { findReadCuts } from './reads/read-cuts.js';
import { findRestores } from './restores.js';
import { joinWithDatabase } from './segments/join-with-database.js';
import { checkSegments, type SegmentsReport } from './segments/segments-check.js';

/** What the command line asks for. */
export interface VerifyRequest {
  /** A file of checkpoints, or of log lines with checkpoints; null: the configured one, if any. */
  readonly checkpoints: string | null;
  /** Copies of the trail to check instead of the database; empty: the database. */
  readonly files: readonly string[];
  /** A directory of sealed segments to check besides; null: none. */
  readonly segments: string | null;
  /** Check the sealed segments alone, without a database. */
  readonly offline: boolean;
  /** Print the public key of the checkpoints and do nothing else. */
  readonly publicKey: boolean;
}

/** What the command says, and its exit code: 0 whole, 1 broken. */
export interface VerifyAnswer {
  readonly text: string;
  readonly exitCode: 0 | 1;
}

/** @throws TypeError for arguments that are not known */
export function parseVerifyArguments(args: string[]): VerifyRequest {
  const { values } = parseArgs({
    args,
    options: {
      checkpoints: { type: 'string' },
      file: { type: 'string', multiple: true },
      segments: { type: 'string' },
      offline: { type: 'boolean' },
      'public-key': { type: 'boolean' },
    },
  });
  if (values.offline === true && values.segments === undefined)
    throw new TypeError('--offline needs --segments DIRECTORY: without a database there is nothing else to check');
  return {
    segments: values.segments ?? null,
    offline: values.offline ?? false,
    checkpoints: values.checkpoints ?? null,
    files: values.file ?? [],
    publicKey: values['public-key'] ?? false,
  };
}

/** What checkpoints are checked with: a key for each version of AUDIT_KEY, under its name if there are several. */
export function describePublicKey({ auditKeys }: Config): VerifyAnswer {
  const keys = auditKeys.map(({ version, key }) => ({ version, pem: checkpointPublicKeyPem(key).trimEnd() }));
  const text =
    keys.length === 1 ? keys[0]!.pem : keys.map(({ version, pem }) => `Version ${version}\n${pem}`).join('\n');
  return { text, exitCode: 0 };
}

/**
 * Checks the whole trail in `dataSource`, with what a directory of sealed segments has of it, if one is given.
 *
 * @throws Error when database or file cannot be read: then nothing is known
 */
export async function verifyTrail(
  config: Config,
  dataSource: DataSource,
  checkpoints: string | null,
  directory: string | null = null,
): Promise<VerifyAnswer> {
  const { manager } = dataSource;
  const verifier = new ChainVerifier(new AuditEventsRepository(manager), new CheckpointsRepository(manager), config);
  const report = await (checkpoints === null ? verifier.verify() : verifier.check(checkpoints));
  const checked = `${report.checked} entries, ${report.checkedReads} reads, ${report.checkpoints} checkpoints`;
  if (report.firstBroken !== null)
    return {
      text: `The audit trail is BROKEN at ${told(report.firstBroken)}\nSound before that: ${checked}.`,
      exitCode: 1,
    };
  const whole = `The audit trail is whole: ${checked}.`;
  if (directory !== null) return withSegments(config, dataSource, checkpoints, directory, whole);
  if (report.sealedUpTo === null) return { text: whole, exitCode: 0 };
  const rest = `Entries up to ${report.sealedUpTo} are in sealed segments, which were not read: --segments DIRECTORY.`;
  return { text: `${whole} ${rest}`, exitCode: 0 };
}

/**
 * Checks sealed segments without a database. What was sealed last and is gone is found by a checkpoint, or with the
 * database.
 *
 * @throws Error when a file cannot be read: then nothing is known
 */
export async function verifySegments(
  config: Config,
  directory: string,
  checkpoints: string | null,
): Promise<VerifyAnswer> {
  const report = await checkSegments(config, directory, { checkpoints, restores: [], readCuts: null });
  if (report.firstBroken === null && report.segments.changes.length + report.segments.reads.length === 0)
    throw new Error(`${directory} has no sealed segments, of which each has a summary (.summary.json): name theirs.`);
  const from = report.segments.changes[0]?.fromSeq ?? '1';
  const note = `They begin with entry ${from}: older ones than AUDIT_SEGMENTS_KEEP_MONTHS are deleted, which is believed.`;
  return answerOf(report, report.firstBroken, from === '1' ? [] : [note]);
}

/** The segments, and whether they are those of which the database knows. */
async function withSegments(
  config: Config,
  { manager }: DataSource,
  checkpoints: string | null,
  directory: string,
  whole: string,
): Promise<VerifyAnswer> {
  const restores = await findRestores(manager);
  const report = await checkSegments(config, directory, {
    checkpoints: checkpoints ?? existing(config.auditCheckpointFile),
    restores,
    readCuts: await findReadCuts(manager),
  });
  const joined = await joinWithDatabase(manager, report.segments, config.auditSegmentsKeepMonths);
  return answerOf(report, report.firstBroken ?? joined.broken, [whole, ...joined.notes]);
}

function answerOf(report: SegmentsReport, broken: FirstBreak | null, further: readonly string[]): VerifyAnswer {
  const { gaps } = report;
  const notes = [
    ...further,
    ...(gaps.length === 0 ? [] : [`Reads that no segment has: ${gaps.join(', ')}. They were removed without one.`]),
  ];
  const { changes, reads } = report.segments;
  const last = changes.at(-1)?.toSeq;
  const checked =
    `${changes.length + reads.length} segments` +
    `${last === undefined ? '' : ` with the entries up to ${last}`}, ${report.checked} entries, ${report.checkedReads} reads`;
  if (broken !== null)
    return {
      text: [...notes, `The sealed segments are BROKEN at ${told(broken)}`, `Sound before that: ${checked}.`].join(
        '\n',
      ),
      exitCode: 1,
    };
  return { text: [...notes, `The sealed segments are whole: ${checked}.`].join('\n'), exitCode: 0 };
}

function existing(file: string | null): string | null {
  return file !== null && existsSync(file) ? file : null;
}

/**
 * Checks copies of the trail, without a database. With `checkpoints` it finds also what is missing at the end.
 *
 * @throws Error when a file cannot be read: then nothing is known
 */
export async function verifyCopy(
  config: Config,
  files: readonly string[],
  checkpoints: string | null,
): Promise<VerifyAnswer> {
  const report = await checkCopy(config, files, checkpoints);
  const checked = `${report.checked} entries, ${report.checkedReads} reads, ${report.checkpoints} checkpoints`;
  if (report.firstBroken !== null)
    return { text: `The copy is BROKEN at ${told(report.firstBroken)}\nSound before that: ${checked}.`, exitCode: 1 };
  const { changes, reads } = report.from;
  const notes = [
    ...(changes === null || changes === '1' ? [] : [`It begins with entry ${changes}, which is believed as it is.`]),
    ...(reads === null || reads === '1' ? [] : [`Its reads begin with ${reads}.`]),
    ...(report.repeated === 0 ? [] : [`Lines that repeat an earlier one: ${report.repeated}.`]),
    ...(report.unreadable === 0 ? [] : [`Lines that are no events, such as ones cut short: ${report.unreadable}.`]),
  ];
  return { text: [`The copy is whole: ${checked}.`, ...notes].join('\n'), exitCode: 0 };
}

function told({ seq, reason, chain }: FirstBreak): string {
  return `${chain === 'reads' ? `seq ${seq} of the reads` : `seq ${seq}`}: ${reason}`;
}

/** How old the newest checkpoint is, and how many entries none covers. */
export function findCheckpointState(dataSource: DataSource): Promise<CheckpointState> {
  return new CheckpointsRepository(dataSource.manager).findState();
}
