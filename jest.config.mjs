import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * One project per level of test (docs: CONTRIBUTING.md). Levels that touch PostgreSQL share the server
 * that test/support/global-setup.mjs starts; each worker works on a copy of its template database.
 */
const base = {
  rootDir: import.meta.dirname,
  testEnvironment: 'node',
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
 * tests: `npm test` runs the one file that loads all specs of a folder, where a folder has it.
 */
const specsOf = (level) => {
  const files = readdirSync(join(import.meta.dirname, 'test', level), { recursive: true }).filter((file) =>
    file.endsWith('spec.ts'),
  );
  const suiteOf = (file) => join(dirname(file), 'all.suite.ts');
  const isLoaded = (file) =>
    process.env.TESTS_BY_FOLDER === '1' && existsSync(join(import.meta.dirname, 'test', level, suiteOf(file)));
  return [...new Set(files.map((file) => (isLoaded(file) ? suiteOf(file) : file)))].map(
    (file) => `<rootDir>/test/${level}/${file}`,
  );
};

const withDatabase = (level) => ({
  ...base,
  displayName: level,
  testMatch: specsOf(level),
  globalSetup: '<rootDir>/test/support/global-setup.mjs',
  globalTeardown: '<rootDir>/test/support/global-teardown.mjs',
});

export default {
  maxWorkers: 2,
  testSequencer: '<rootDir>/test/support/longest-first.mjs',
  // Of a machine that is busy with other things: what hangs ends all the same.
  testTimeout: 120_000,
  projects: [
    {
      ...base,
      displayName: 'unit',
      testMatch: [
        '<rootDir>/packages/**/*.spec.ts',
        '<rootDir>/src/**/*.spec.ts',
        '<rootDir>/clients/typescript/src/**/*.spec.ts',
      ],
    },
    {
      ...base,
      displayName: 'simulation',
      testMatch: ['<rootDir>/test/simulation/**/*.spec.ts', '<rootDir>/test/proofs/**/*.spec.ts'],
    },
    withDatabase('integration'),
    withDatabase('e2e'),
    withDatabase('gateways'),
    withDatabase('contract'),
    withDatabase('browser'),
    withDatabase('client'),
  ],
};
