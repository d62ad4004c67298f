import { type DataSource, QueryFailedError } from 'typeorm';
import { findSealedSegments } from '../audit/segments/segment-findings.js';
import { findCheckpointState, verifyTrail } from '../audit/verify-command.js';
import { tryReceiver } from '../audit/syslog/syslog-finding.js';
import { findRightsNotes } from '../api-keys/rights-notes.js';
import { examineIdentityProvider } from '../auth/oidc/oidc-examination.js';
import { historyCheck } from '../backup/history-check.js';
import { SQL_STATES, sqlState } from '../common/database-errors.js';
import { DomainError } from '../common/domain-error.js';
import { type StartCheck, StartRefusal } from '../common/start-refusal.js';
import { type Config, requireFitForProduction } from '../config/config.js';
import { connectionChecks } from '../database/connection-checks.js';
import { misreadLimits } from '../database/older-replicas.js';
import { schemaCheck } from '../database/schema/schema-check.js';
import { readStandbys } from '../database/standbys.js';
import { installationCheck } from '../installation/installation.js';
import { compareTables, describeDifference } from '../integrity/table-comparison.js';
import { neededNow } from '../installation/needed-versions.js';
import { checkSecrets } from '../installation/secret-check.js';
import { firstAdminCheck } from '../users/first-admin-check.js';
import { findFutureRows } from '../quotas/future-rows.js';
import { BUDGET_CHECKS, type Difference, USAGE_CHECKS, reconcileBudgets, reconcileUsage } from '../usage/reconcile.js';
import { findArchives } from '../usage/archives/archive-findings.js';
import { findTotalsAtEnd } from '../usage/totals-at-end.js';
import { sessionFinding } from '../auth/session-finding.js';
import { findMissingFactors, findUntoldFactors } from '../users/second-factor/factor-findings.js';
import { findHistoryLosses } from '../replicas/failover/history-losses.js';
import { findProxyLists } from './proxy-lists.js';

/** What one check came to: everything in order, or where it is not. */
export interface Finding {
  readonly check: string;
  /** Empty: all is well. */
  readonly differences: readonly string[];
  /** What there is to know all the same. */
  readonly note?: string;
}

const TABLES = 'keys, users and roles are what the audit trail says of them';
const NO_LOSSES = 'failovers have lost no change';
const PROXY_LISTS = 'keys that only TRUSTED_PROXIES could use';
const SECOND_FACTORS = 'second factors are those of the audit trail';
const ENDS = 'totals that count no further';
const SEGMENTS = 'sealed entries of the audit trail are in their files';
const ARCHIVES = 'archived usage events are in their files';
const SYSLOG = 'the receiver of AUDIT_SYSLOG_URL takes the audit trail';
const LIMIT_UNITS = 'limits are of units that every replica enforces';
const NO_FUTURE = 'no rate window and no lease lies in the future';

const SCHEMA_ERRORS: readonly string[] = [
  SQL_STATES.undefinedTable,
  SQL_STATES.undefinedColumn,
  SQL_STATES.undefinedFunction,
];

/**
 * What a start would refuse, in the order in which it would meet it. Settings that no environment takes, and the
 * connection, come before: where they are wrong, there is no `dataSource`.
 */
export function startChecks(config: Config, dataSource: DataSource): readonly StartCheck[] {
  return [
    settingsCheck(config),
    ...connectionChecks(config, dataSource),
    schemaCheck(dataSource),
    historyCheck(config, dataSource),
    firstAdminCheck(config, dataSource),
    installationCheck(dataSource.manager),
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
 * Holds the books against their sources: usage, budgets and the audit trail; and tells which secrets are needed. It
 * changes nothing, and may run beside servers.
 *
 * @throws Error when the database cannot be read: then nothing is known
 */
export async function examine(config: Config, dataSource: DataSource): Promise<Finding[]> {
  return [
    ...(await refusals(startChecks(config, dataSource))),
    ...(await findingsFrom('usage', async () => findingsOf(USAGE_CHECKS, await reconcileUsage(dataSource)))),
    ...(await findingsFrom('budgets', async () => findingsOf(BUDGET_CHECKS, await reconcileBudgets(dataSource)))),
    ...(await findingsFrom(ENDS, async () => [
      { check: ENDS, differences: [], note: (await findTotalsAtEnd(dataSource)).join('; ') || 'none' },
    ])),
    ...(await findingsFrom(ARCHIVES, async () => [{ check: ARCHIVES, ...(await findArchives(config, dataSource)) }])),
    ...(await findingsFrom('audit trail', async () => [await trail(config, dataSource)])),
    ...(await findingsFrom(SEGMENTS, async () => [
      { check: SEGMENTS, ...(await findSealedSegments(config, dataSource)) },
    ])),
    ...(await findingsFrom('audit checkpoints', async () => [await checkpoint(dataSource)])),
    ...(await findingsFrom(SYSLOG, async () => [
      { check: SYSLOG, ...(await tryReceiver(config.auditSyslog, dataSource)) },
    ])),
    ...(await findingsFrom(TABLES, async () => [await tables(config, dataSource)])),
    ...(await findingsFrom('versions of secrets that are needed', async () => [
      await neededVersions(config, dataSource),
    ])),
    ...(await findingsFrom(SECOND_FACTORS, async () => [await secondFactors(config, dataSource)])),
    ...(await findingsFrom(NO_LOSSES, async () => [{ check: NO_LOSSES, ...(await findHistoryLosses(dataSource)) }])),
    ...(await findingsFrom(NO_FUTURE, async () => [
      { check: NO_FUTURE, differences: await findFutureRows(dataSource) },
    ])),
    ...(await findingsFrom(LIMIT_UNITS, async () => [
      { check: LIMIT_UNITS, differences: await limitUnits(dataSource) },
    ])),
    ...(await findingsFrom('rights over keys', () => rights(dataSource))),
    ...(await findingsFrom(PROXY_LISTS, async () => [await proxyLists(config, dataSource)])),
    metrics(config),
    ...(await findingsFrom('identity provider', () => examineIdentityProvider(config, dataSource))),
    ...(await findingsFrom('sessions', async () => [await sessionFinding(config, dataSource.manager)])),
    await standbys(dataSource),
  ];
}

/** A limit that an older replica takes for one of cents. */
async function limitUnits(dataSource: DataSource): Promise<string[]> {
  return (await misreadLimits(dataSource)).map(
    ({ id, name, of }) =>
      `limit ${id} ("${name}") is of ${of}, and a replica of an older release runs: it charges and refuses wrongly. ` +
      'Delete the limit, or stop that replica.',
  );
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

/**
 * In production a start refuses this before there is a database; elsewhere it is worth knowing before one goes there.
 */
function settingsCheck(config: Config): StartCheck {
  return {
    check: 'the settings are fit for production',
    run: async () => {
      requireFitForProduction(config);
      const { nodeEnv, productionProblems, warnings } = config;
      const production = `NODE_ENV=${nodeEnv}; production would refuse: ${productionProblems.map((problem) => `${problem}.`).join(' ')}`;
      const notes = [
        ...warnings.map((warning) => `${warning}.`),
        ...(productionProblems.length === 0 ? [] : [production]),
      ];
      return notes.length === 0 ? null : notes.join(' ');
    },
  };
}

/** What lacks a table, a column or a function is said, and the other checks are made all the same. */
async function findingsFrom(check: string, examination: () => Promise<Finding[]>): Promise<Finding[]> {
  try {
    return await examination();
  } catch (error) {
    if (!(error instanceof QueryFailedError) || !SCHEMA_ERRORS.includes(sqlState(error))) throw error;
    return [{ check, differences: [`could not be made: ${error.message}`] }];
  }
}

function findingsOf(checks: readonly string[], differences: readonly Difference[]): Finding[] {
  return checks.map((check) => ({
    check,
    differences: differences
      .filter((one) => one.check === check)
      .map(({ subject, found, expected }) => `${subject}: ${found}, should be ${expected}`),
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

/** Without the pauses that a server makes. */
async function tables(config: Config, dataSource: DataSource): Promise<Finding> {
  const differences: string[] = [];
  let compared = 0;
  for await (const slice of compareTables(config, dataSource)) {
    compared += slice.compared;
    differences.push(...slice.differences.map(describeDifference));
  }
  return { check: TABLES, differences, note: `${compared} rows` };
}

/** What must not be removed yet; what is missing has been told by the check of the secrets. */
async function neededVersions(config: Config, dataSource: DataSource): Promise<Finding> {
  const needs = await neededNow(config, dataSource.manager);
  const note = needs.map(({ variable, version, by }) => `${variable} ${version}: ${by}`).join('; ');
  return { check: 'versions of secrets that are needed', differences: [], note: note || 'none' };
}

/** What owners and roles may do is a choice of the operator: it is told, and is no difference. */
async function rights(dataSource: DataSource): Promise<Finding[]> {
  const notes = await findRightsNotes(dataSource);
  return notes.map(({ check, note }) => ({ check, differences: [], ...(note === null ? {} : { note }) }));
}

/** What the operator may want: a list may name the gateway that shows the key as its own. */
async function proxyLists({ trustedProxies }: Config, dataSource: DataSource): Promise<Finding> {
  return { check: PROXY_LISTS, differences: [], note: (await findProxyLists(dataSource, trustedProxies)) ?? 'none' };
}

/** Who is shown metrics; a port that shows them to everybody has been refused with the settings. */
function metrics({ metricsPort, metricsToken, host }: Config): Finding {
  const askers = metricsToken === null ? 'to this machine alone' : 'for METRICS_TOKEN';
  const places = [
    ...(metricsToken === null ? [] : ['on PORT']),
    ...(metricsPort === null ? [] : [`on ${host} port ${metricsPort}`]),
  ];
  return {
    check: 'metrics',
    differences: [],
    note: places.length === 0 ? 'none' : `${places.join(' and ')}, ${askers}`,
  };
}

/** Also whom `MFA_REQUIRED` stops at the next sign-in: to be known before it is set. */
async function secondFactors(config: Config, { manager }: DataSource): Promise<Finding> {
  return {
    check: SECOND_FACTORS,
    differences: await findUntoldFactors(manager),
    note: await findMissingFactors(config, manager),
  };
}

/** What an asynchronous standby loses is a choice of the operator: it is told, and is no difference. */
async function standbys(dataSource: DataSource): Promise<Finding> {
  const { count, warning } = await readStandbys(dataSource);
  return {
    check: 'standbys',
    differences: [],
    note: warning ?? (count === 0 ? 'none' : `${count}, commits wait for them`),
  };
}

/** How much of the trail could be cut off unseen. Not a difference: a server that was killed leaves some, too. */
async function checkpoint(dataSource: DataSource): Promise<Finding> {
  const { ageMs, rowsSince } = await findCheckpointState(dataSource);
  const newest = ageMs === null ? 'none yet' : `the newest is ${Math.round(ageMs / 1000)} s old`;
  return { check: 'audit checkpoints', differences: [], note: `${newest}; entries since: ${rowsSince}` };
}
