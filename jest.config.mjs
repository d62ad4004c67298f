import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { foldersWith, isFileInTier } from './test/tiers.mjs';

/**
 * One project per level of test (docs: CONTRIBUTING.md). Levels that touch PostgreSQL share the server
 * that test/support/global-setup.mjs starts; each worker works on a copy of its template database.
 */
const base = {
  rootDir: import.meta.dirname,
  testEnvironment: '<rootDir>/test/support/plain-context.mjs',
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  modulePathIgnorePatterns: ['<rootDir>/dist', '<rootDir>/.build', '<rootDir>/.data', '<rootDir>/console'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true, useDefineForClassFields: false },
          target: 'es2023',
        },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
};

/**
 * The specs of a level. Jest evaluates the application anew for each test file, which takes longer than most of their
 * tests: a tier runs the one file that loads all specs of a folder, or of several, where there is one.
 */
const specsOf = (level) => {
  const files = readdirSync(join(import.meta.dirname, 'test', level), { recursive: true }).filter(
    (file) => file.endsWith('spec.ts') && isFileInTier(`test/${level}/${file}`),
  );
  const paths = files.map((file) => `test/${level}/${file}`);
  const suiteOf = (path) => `test/${foldersWith(dirname(path).slice('test/'.length))[0]}/all.suite.ts`;
  const isLoaded = (path) =>
    process.env.TESTS_BY_FOLDER === '1' && existsSync(join(import.meta.dirname, suiteOf(path)));
  return [...new Set(paths.map((path) => (isLoaded(path) ? suiteOf(path) : path)))].map((path) => `<rootDir>/${path}`);
};

/** What no file matches; an empty list would mean all. */
const NONE = ['<rootDir>/no-such-file'];

const withDatabase = (level) => ({
  ...base,
  displayName: level,
  testMatch: [...specsOf(level), ...NONE],
  globalSetup: '<rootDir>/test/support/global-setup.mjs',
  globalTeardown: '<rootDir>/test/support/global-teardown.mjs',
});

const UNITS = [
  '<rootDir>/packages/**/*.spec.ts',
  '<rootDir>/src/**/*.spec.ts',
  '<rootDir>/clients/typescript/src/**/*.spec.ts',
];
const HARNESS_OF_PROOFS = ['<rootDir>/test/proofs/**/*.spec.ts'];

/**
 * Tests wait for PostgreSQL and for each other's processes: half as many workers again keep the processors busy. Those
 * of the rest also wait for browsers, starts of processes and the wall clock.
 */
function workers() {
  return Math.max(2, Math.ceil(availableParallelism() * (process.env.TEST_TIER === 'rest' ? 2 : 1.5)));
}

export default {
  maxWorkers: workers(),
  // Modules of a file that has ended stay in memory. What allocates much in a large heap, as simulations do, waits
  // for its collector.
  workerIdleMemoryLimit: '700MB',
  testSequencer: '<rootDir>/test/support/longest-first.mjs',
  // Of a machine that is busy with other things: what hangs ends all the same.
  testTimeout: 120_000,
  projects: [
    {
      ...base,
      displayName: 'unit',
      testMatch: process.env.TEST_TIER === 'rest' ? NONE : UNITS,
    },
    {
      ...base,
      displayName: 'simulation',
      testMatch: [...specsOf('simulation'), ...(process.env.TEST_TIER === 'rest' ? NONE : HARNESS_OF_PROOFS)],
    },
    withDatabase('integration'),
    withDatabase('e2e'),
    withDatabase('gateways'),
    withDatabase('contract'),
    withDatabase('browser'),
    withDatabase('client'),
  ],
};
