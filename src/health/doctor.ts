import type { DataSource } from 'typeorm';
import { findCheckpointState, verifyTrail } from '../audit/verify-command.js';
import { type StartCheck, StartRefusal } from '../common/start-refusal.js';
import type { Config } from '../config/config.js';
import { connectionChecks } from '../database/connection-checks.js';
import { BUDGET_CHECKS, type Difference, USAGE_CHECKS, reconcileBudgets, reconcileUsage } from '../usage/reconcile.js';

/** What one check came to: everything in order, or where it is not. */
export interface Finding {
  readonly check: string;
  /** Empty: all is well. */
  readonly differences: readonly string[];
  /** What there is to know all the same. */
  readonly note?: string;
}

/**
 * What a start would refuse, in the order in which it would meet it. Settings and the connection come before: where they
 * are wrong, there is no `dataSource`.
 */
export function startChecks(config: Config, dataSource: DataSource): readonly StartCheck[] {
  return connectionChecks(config, dataSource);
}

/**
 * Holds the books against their sources: usage, budgets, the audit trail and the peppers of secrets. It changes
 * nothing, and may run beside servers.
 *
 * @throws Error when the database cannot be read: then nothing is known
 */
export async function examine(config: Config, dataSource: DataSource): Promise<Finding[]> {
  return [
    ...(await refusals(startChecks(config, dataSource))),
    ...findingsOf(USAGE_CHECKS, await reconcileUsage(dataSource)),
    ...findingsOf(BUDGET_CHECKS, await reconcileBudgets(dataSource)),
    await trail(config, dataSource),
    await checkpoint(dataSource),
    await peppers(config, dataSource),
  ];
}

/** One line a finding, one more for each difference; for a terminal. */
export function describe({ check, differences, note }: Finding): string {
  const head = `${differences.length === 0 ? 'ok  ' : 'DIFF'}  ${check}${note === undefined ? '' : ` (${note})`}`;
  return [head, ...differences.map((difference) => `      ${difference}`)].join('\n');
}

async function refusals(checks: readonly StartCheck[]): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { check, run } of checks) findings.push(await findingOf(check, run));
  return findings;
}

async function findingOf(check: string, run: StartCheck['run']): Promise<Finding> {
  try {
    const note = await run();
    return { check, differences: [], ...(note === null ? {} : { note }) };
  } catch (error) {
    if (!(error instanceof StartRefusal)) throw error;
    return { check, differences: [error.message] };
  }
}

function findingsOf(checks: readonly string[], differences: readonly Difference[]): Finding[] {
  return checks.map((check) => ({
    check,
    differences: differences.filter((one) => one.check === check).map(({ subject, found, expected }) => `${subject}: ${found}, should be ${expected}`),
  }));
}

async function trail(config: Config, dataSource: DataSource): Promise<Finding> {
  const { text, exitCode } = await verifyTrail(config, dataSource, null);
  return exitCode === 0 ? { check: 'audit trail', differences: [], note: text } : { check: 'audit trail', differences: [text] };
}

/** How much of the trail could be cut off unseen. Not a difference: a server that was killed leaves some, too. */
async function checkpoint(dataSource: DataSource): Promise<Finding> {
  const { ageMs, rowsSince } = await findCheckpointState(dataSource);
  const newest = ageMs === null ? 'none yet' : `the newest is ${Math.round(ageMs / 1000)} s old`;
  return { check: 'audit checkpoints', differences: [], note: `${newest}; entries since: ${rowsSince}` };
}

/** Secrets under a pepper that is not configured cannot be proven: their keys are refused. */
async function peppers(config: Config, dataSource: DataSource): Promise<Finding> {
  const rows = await dataSource.query<{ pepper_version: string; count: string }[]>(
    `SELECT pepper_version, count(*) AS count FROM api_key_secret WHERE revoked_at IS NULL GROUP BY 1 ORDER BY 1`,
  );
  const known = new Set(config.peppers.map(({ version }) => version));
  return {
    check: 'every secret has its pepper',
    note: rows.map(({ pepper_version, count }) => `pepper ${pepper_version}: ${count}`).join(', ') || 'no secrets',
    differences: rows
      .filter(({ pepper_version }) => !known.has(pepper_version))
      .map(({ pepper_version, count }) => `${count} secrets were made with pepper ${pepper_version}, which API_KEY_PEPPERS does not have`),
  };
}
