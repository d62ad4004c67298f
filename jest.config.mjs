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

const withDatabase = (name, testMatch) => ({
  ...base,
  displayName: name,
  testMatch,
  globalSetup: '<rootDir>/test/support/global-setup.mjs',
  globalTeardown: '<rootDir>/test/support/global-teardown.mjs',
});

export default {
  maxWorkers: 2,
  testTimeout: 30_000,
  projects: [
    { ...base, displayName: 'unit', testMatch: ['<rootDir>/src/**/*.spec.ts', '<rootDir>/clients/typescript/src/**/*.spec.ts'] },
    { ...base, displayName: 'simulation', testMatch: ['<rootDir>/test/simulation/**/*.spec.ts', '<rootDir>/test/proofs/**/*.spec.ts'] },
    withDatabase('integration', ['<rootDir>/test/integration/**/*.spec.ts']),
    withDatabase('e2e', ['<rootDir>/test/e2e/**/*.e2e-spec.ts']),
    withDatabase('gateways', ['<rootDir>/test/gateways/**/*.spec.ts']),
    withDatabase('contract', ['<rootDir>/test/contract/**/*.spec.ts']),
    withDatabase('browser', ['<rootDir>/test/browser/**/*.spec.ts']),
    withDatabase('client', ['<rootDir>/test/client/**/*.spec.ts']),
  ],
};
