import js from '@eslint/js';
import tseslint from 'typescript-eslint';
import { exceptions, sizesExcept } from './lint/sizes.mjs';

/** What is named so is there to be left out. */
const UNUSED = { argsIgnorePattern: '^_', varsIgnorePattern: '^_' };

/** What is compiled. Rules that know types are asked by oxlint, together with the compiler's (`.oxlintrc.json`). */
const SOURCES = ['{packages,src,clients,test,examples}/**/*.ts', 'console/**/*.{ts,tsx}', 'ormconfig.ts'];

export default tseslint.config(
  {
    ignores: [
      'dist/',
      '**/.build/',
      'node_modules/',
      'coverage/',
      '.data/',
      'bench/node_modules/',
      'console/dist/',
      'clients/*/dist/',
      'clients/*/src/schema.ts',
      'console/src/api/schema.ts',
    ],
  },
  js.configs.recommended,
  {
    // A released migration is frozen with its sizes.
    files: ['**/*.{ts,tsx,mjs,cjs}'],
    ignores: ['src/database/migrations/**'],
    plugins: { latchkey: { rules: { sizes: sizesExcept(exceptions) } } },
    rules: {
      'latchkey/sizes': 'error',
      'max-len': [
        'error',
        { code: 120, ignoreUrls: true, ignoreStrings: true, ignoreTemplateLiterals: true, ignoreRegExpLiterals: true },
      ],
    },
  },
  ...tseslint.configs.recommended.map((config) => ({ ...config, files: SOURCES })),
  { files: SOURCES, rules: { '@typescript-eslint/no-unused-vars': ['error', UNUSED] } },
  {
    files: ['packages/**/*.ts', 'src/**/*.ts', 'clients/**/*.ts', 'ormconfig.ts'],
    rules: {
      'no-restricted-properties': [
        'error',
        { object: 'process', property: 'env', message: 'Only src/config reads the environment.' },
      ],
    },
  },
  {
    // Whatever is handed a transaction works with locks that others wait for. SQLSTATEs are known in one place.
    files: ['src/**/*.ts'],
    ignores: [
      'src/common/database-errors.ts',
      'src/database/connection-refusals.ts',
      'src/database/migrations/**',
      'src/**/*.spec.ts',
    ],
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector: 'Literal[value=/^(0[0-9A]|2[0-9BDF]|3[4589BDF]|4[0-9]|5[3-8]|F0|P0|XX)[0-9A-Z]{3}$/]',
          message: 'Name the SQLSTATE in src/common/database-errors.ts.',
        },
        ...[
          ':function:has(> ObjectPattern > Property[key.name="tx"])',
          ':function[params.0.name=/^(tx|change|held)$/]',
        ].map((inside) => ({
          selector: `${inside} CallExpression:matches([callee.name=/^(hashPassword|passwordMatches|appendLine|readFile|writeFile|sleep|fetch)$/], [callee.property.name="waitUntilApplied"])`,
          message: 'Not within a transaction: others wait for its locks.',
        })),
      ],
    },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/common/periodic.ts', 'src/**/*.spec.ts'],
    rules: {
      'no-restricted-globals': ['error', { name: 'setInterval', message: 'Use Periodic of src/common/periodic.ts.' }],
    },
  },
  {
    files: ['src/config/**/*.ts'],
    rules: { 'no-restricted-properties': 'off' },
  },
  {
    files: ['**/*.mjs'],
    languageOptions: {
      globals: {
        process: 'readonly',
        console: 'readonly',
        URL: 'readonly',
        setTimeout: 'readonly',
        clearTimeout: 'readonly',
        setInterval: 'readonly',
        clearInterval: 'readonly',
        fetch: 'readonly',
        Buffer: 'readonly',
        performance: 'readonly',
        AbortController: 'readonly',
        AbortSignal: 'readonly',
        ReadableStream: 'readonly',
        TextDecoder: 'readonly',
      },
    },
  },
);
