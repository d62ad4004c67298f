/**
 * Which tests `npm test` runs, and which it leaves to `npm run test:all`: those that start browsers, proxies, clusters
 * of PostgreSQL or other processes, those that search with many seeds, and those that wait for the wall clock. A test
 * is in one tier; both together are all of them.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../', import.meta.url));
const GIT = { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] };

/** Tells Jest which tier it runs; without it, files that are named are run whatever their tier. */
export const TIER_VARIABLE = 'TEST_TIER';

/**
 * The groups that take long. `tests` are files and folders, `keeps` what `npm test` runs of them all the same,
 * `sources` the paths whose change selects the group in `npm run test:changed`.
 */
export const SLOW_GROUPS = [
  {
    name: 'browser',
    why: 'drives a real Chromium',
    tests: ['test/browser/'],
    keeps: ['test/browser/journey.spec.ts'],
    sources: ['console/', 'src/http/', 'src/auth/'],
  },
  {
    name: 'gateways',
    why: 'starts real proxies',
    tests: ['test/gateways/'],
    keeps: [],
    sources: ['src/gateways/', 'src/http/', 'docs/gateways/'],
  },
  {
    name: 'client',
    why: 'packs and installs the client, and breaks connections under it',
    tests: ['test/client/'],
    keeps: ['test/client/client.spec.ts', 'test/client/public-surface.spec.ts'],
    sources: ['clients/', 'examples/', 'docs/openapi.json'],
  },
  {
    name: 'postgres',
    why: 'starts servers of PostgreSQL, poolers and standbys',
    tests: [
      ...['test/integration/database/', 'test/integration/failover/', 'test/integration/backup/'],
      // Every run migrates up; this one goes down and up again, and compares.
      'test/contract/migrations.spec.ts',
    ],
    keeps: [
      'test/integration/database/session.spec.ts',
      'test/integration/database/test-database.spec.ts',
      'test/integration/database/transaction.spec.ts',
    ],
    sources: ['packages/embedded-postgres/', 'src/database/', 'src/backup/'],
  },
  {
    name: 'processes',
    why: 'starts and ends the product as a process',
    tests: [
      'test/integration/installation/',
      'test/integration/scripts/',
      'test/integration/start/',
      'test/integration/health/',
      'test/integration/usage/archives/',
      'test/integration/audit/segments/',
      'test/e2e/system/',
    ],
    keeps: ['test/e2e/system/replicas.e2e-spec.ts'],
    sources: [
      ...['src/config/', 'src/installation/', 'src/health/', 'src/server/', 'src/cli/', 'scripts/'],
      ...['src/audit/segments/', 'src/usage/archives/', 'README.md', 'docs/getting-started.md', 'docs/migrating.md'],
    ],
  },
  {
    name: 'waits',
    why: 'waits for outages, throttles and overload by the wall clock',
    tests: [
      'test/e2e/edge/listeners.e2e-spec.ts',
      'test/e2e/api-keys/budget-raise.e2e-spec.ts',
      'test/e2e/edge/database-away.e2e-spec.ts',
      'test/e2e/edge/management-rate.e2e-spec.ts',
      'test/e2e/edge/outages-are-told.e2e-spec.ts',
      'test/e2e/edge/overload.e2e-spec.ts',
      'test/e2e/edge/traces.e2e-spec.ts',
      'test/e2e/verification/outage.e2e-spec.ts',
      'test/e2e/audit/stream.e2e-spec.ts',
      'test/e2e/audit/stream-by-curl.e2e-spec.ts',
      'test/integration/audit/',
      'test/integration/integrity/',
      'test/integration/usage/failures.spec.ts',
      'test/integration/users/',
    ],
    keeps: ['test/integration/audit/no-audit-no-change.spec.ts', 'test/integration/audit/append-only.spec.ts'],
    sources: [
      ...['src/http/', 'src/audit/', 'src/access/', 'src/integrity/', 'src/usage/', 'src/tracing/'],
      ...['src/verification/', 'src/key-cache/', 'src/quotas/'],
    ],
  },
  {
    name: 'searches',
    why: 'tries many requests and histories that are drawn at random, or every route in every spelling',
    tests: [
      'test/contract/sentences.spec.ts',
      'test/contract/spelling.spec.ts',
      'test/e2e/api-keys/allowed-acts.e2e-spec.ts',
      'test/e2e/edge/fuzz.e2e-spec.ts',
      'test/e2e/short-cut/made-up-requests.e2e-spec.ts',
      'test/e2e/short-cut/same-cases.e2e-spec.ts',
      'test/integration/api-keys/list-oracle.spec.ts',
    ],
    keeps: [],
    sources: [
      ...['packages/contract/', 'src/api-keys/', 'src/http/', 'src/common/', 'src/access/'],
      ...['src/verification/', 'src/usage/'],
    ],
  },
  {
    name: 'simulations',
    why: 'counts refusals and waits over minutes of simulated traffic; `npm test` runs seeds of each simulation',
    tests: [
      'test/simulation/full-budgets.spec.ts',
      'test/simulation/reach.spec.ts',
      'test/simulation/waits.spec.ts',
      'test/simulation/tokens/token-reach.spec.ts',
    ],
    keeps: [],
    sources: ['src/quotas/', 'test/simulation/'],
  },
  {
    name: 'sign-in',
    why: 'signs in with an identity provider, a second factor and wrong passwords, each a slow hash by design',
    tests: [
      'test/e2e/auth/guessing.e2e-spec.ts',
      'test/e2e/auth/oidc.e2e-spec.ts',
      'test/e2e/auth/oidc-sign-in.e2e-spec.ts',
      'test/e2e/auth/second-factor.e2e-spec.ts',
    ],
    keeps: [],
    sources: ['src/auth/', 'src/users/', 'src/http/', 'src/access/'],
  },
  {
    name: 'thousands',
    why: 'sends or stores thousands of keys; bulk and list do the same with fewer',
    tests: ['test/e2e/api-keys/import.e2e-spec.ts', 'test/e2e/api-keys/facets.e2e-spec.ts'],
    keeps: [],
    sources: ['src/api-keys/bulk/', 'src/api-keys/lists/', 'src/key-cache/records/'],
  },
  {
    name: 'documents',
    why: 'does what the documents print, one example after the other, and lets Prometheus judge the alerts',
    tests: ['test/contract/examples.spec.ts', 'test/contract/alert-timing.spec.ts'],
    keeps: [],
    sources: ['deploy/prometheus/', 'docs/openapi.json', 'src/openapi/', 'src/server/demo.ts'],
  },
  {
    name: 'compiles',
    why: 'compiles the sources twice; what it shows the compiler to ask for, the check of types asks for in every run',
    tests: ['test/contract/every-field.spec.ts'],
    keeps: [],
    sources: ['packages/contract/', 'src/api-keys/', 'src/key-cache/', 'src/access/'],
  },
];

/**
 * What is run once more on the oldest PostgreSQL that is promised (`.ci/postgres-15`): what asks its planner,
 * functions, locks, partitions and catalogue something. `leaves` are files of these folders that test receivers, files,
 * processes and settings, whatever the database is.
 */
export const ON_OLDEST = {
  tests: [
    'test/integration/api-keys/',
    'test/integration/audit/',
    'test/integration/quotas/',
    'test/integration/usage/',
    'test/integration/backup/after-restore.spec.ts',
    'test/integration/database/schema.spec.ts',
    'test/integration/database/upgrade.spec.ts',
    'test/integration/health/doctor.spec.ts',
    'test/integration/health/production-checklist.spec.ts',
    'test/integration/users/admins.spec.ts',
    'test/integration/verification/planned-once.spec.ts',
    'test/contract/migrations.spec.ts',
    'test/contract/schema.spec.ts',
  ],
  leaves: [
    'test/integration/audit/copy-file.spec.ts',
    'test/integration/audit/hanging-checkpoints.spec.ts',
    'test/integration/audit/rsyslog.spec.ts',
    'test/integration/audit/shutdown.spec.ts',
    'test/integration/audit/syslog.spec.ts',
    'test/integration/audit/segments/killed.spec.ts',
    'test/integration/audit/segments/tampering.spec.ts',
  ],
};

/** Files that have tests for both tiers, and choose by `ofTier` themselves. */
export const DIVIDED = [
  'test/simulation/mutants.spec.ts',
  'test/simulation/simulation.spec.ts',
  'test/simulation/limits/limit-mutants.spec.ts',
  'test/simulation/limits/limit-simulation.spec.ts',
  'test/simulation/slots/slot-mutants.spec.ts',
  'test/simulation/slots/slot-simulation.spec.ts',
  'test/simulation/windows/sliding-mutants.spec.ts',
  'test/simulation/windows/sliding-simulation.spec.ts',
  'test/simulation/tokens/token-mutants.spec.ts',
  'test/simulation/tokens/token-simulation.spec.ts',
];

/**
 * Folders below `test` whose specs one test file loads in a tier: to evaluate the application takes longer than most of
 * their tests. The first of each has the `all.suite.ts`.
 */
const TOGETHER = [
  ['e2e/users', 'e2e/roles', 'e2e/projects'],
  ['e2e/limits', 'e2e/usage', 'e2e/gateways', 'e2e/audit'],
  ['integration/quotas', 'integration/usage', 'integration/api-keys'],
];

/** The folders whose specs are loaded with those of this one, itself among them; below `test`, with `/`. */
export function foldersWith(folder) {
  return TOGETHER.find((folders) => folders.includes(folder)) ?? [folder];
}

/** The groups that take long and hold this file; of the repository's root, with `/`. */
export function slowGroupsOf(file) {
  return SLOW_GROUPS.filter(
    ({ tests, keeps }) => tests.some((test) => file === test || file.startsWith(test)) && !keeps.includes(file),
  ).map(({ name }) => name);
}

/**
 * Whether a file is run in a tier: `quick`, `rest` (what `quick` leaves out), or names of groups after `quick`,
 * separated by commas; `oldest` is what PostgreSQL 15 is asked. Everything is in `all`, and where no tier is set.
 */
export function isFileInTier(file, tier = process.env[TIER_VARIABLE]) {
  if (tier === 'oldest')
    return ON_OLDEST.tests.some((test) => file.startsWith(test)) && !ON_OLDEST.leaves.includes(file);
  if (tier === undefined || tier === 'all' || DIVIDED.includes(file)) return true;
  const groups = slowGroupsOf(file);
  const [first, ...named] = tier.split(',');
  if (first === 'rest') return groups.length > 0;
  return groups.length === 0 || groups.some((group) => named.includes(group));
}

/** Of a list of equal tests: the first of them belong to `quick`, the others to the rest. */
export function ofTier(list, quickOnes = 1, tier = process.env[TIER_VARIABLE]) {
  if (tier === undefined || tier === 'all') return list;
  return tier === 'rest' ? list.slice(quickOnes) : list.slice(0, quickOnes);
}

/** `quick`, and the groups whose sources differ from the main branch, committed or not. */
export function tierOfChanges() {
  return ['quick', ...groupsFor(changedFiles())].join(',');
}

/** Files that differ from the main branch, committed or not, gone ones included. @throws where there is none */
export function changedFiles() {
  const git = (...args) => execFileSync('git', args, GIT).split('\n').filter(Boolean);
  const [base] = git('merge-base', 'HEAD', 'main');
  return [...git('diff', '--name-only', base), ...git('ls-files', '--others', '--exclude-standard')];
}

/** Of these endings, the files that `changedFiles` names and that are there; null: which they are cannot be told. */
export function changedSources(ending) {
  try {
    return changedFiles().filter((file) => ending.test(file) && existsSync(`${root}${file}`));
  } catch {
    return null;
  }
}

/** Names of the groups that a change of these files selects. */
export function groupsFor(files) {
  return SLOW_GROUPS.filter(({ tests, sources }) =>
    files.some((file) => [...tests, ...sources].some((path) => file.startsWith(path))),
  ).map(({ name }) => name);
}
