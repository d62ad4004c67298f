import type { DataSource } from 'typeorm';
import { verifyTrail } from '../audit/verify-command.js';
import { historyCheck } from '../backup/history-check.js';
import { DomainError } from '../common/domain-error.js';
import { type StartCheck, StartRefusal } from '../common/start-refusal.js';
import type { Config } from '../config/config.js';
import { neededNow } from '../installation/needed-versions.js';
import { checkSecrets } from '../installation/secret-check.js';
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
  return [
    historyCheck(config, dataSource),
    {
      check: 'every secret is the one this database was made with',
      run: async () => {
        const { warnings, notes } = await checkSecrets(config, dataSource.manager);
        return [...warnings, ...notes].join(' ') || null;
      },
    },
  ];
}

/**
 * Holds the books against their sources: usage, budgets and the audit trail; and tells which secrets are needed. It changes
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
    await neededVersions(config, dataSource),
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
  const check = 'audit trail';
  try {
    const { text, exitCode } = await verifyTrail(config, dataSource, null);
    return exitCode === 0 ? { check, differences: [], note: text } : { check, differences: [text] };
  } catch (error) {
    // A version of AUDIT_KEY is missing: the other checks can be made all the same.
    if (!(error instanceof DomainError && error.cause instanceof Error)) throw error;
    return { check, differences: [error.cause.message] };
  }
}

/** What must not be removed yet; what is missing has been told by the first check. */
async function neededVersions(config: Config, dataSource: DataSource): Promise<Finding> {
  const needs = await neededNow(config, dataSource.manager);
  const note = needs.map(({ variable, version, by }) => `${variable} ${version}: ${by}`).join('; ');
  return { check: 'versions of secrets that are needed', differences: [], note: note || 'none' };
}
