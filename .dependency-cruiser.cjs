/** The import arrows of ARCHITECTURE.md. A lower layer never imports a higher one. */
const layers = [
  ['config', 'common'],
  ['database'],
  ['access', 'http'],
  ['audit'],
  ['projects'],
  ['installation', 'roles', 'users', 'auth', 'api-keys', 'quotas'],
  ['key-cache'],
  ['replicas', 'usage', 'limits'],
  ['verification'],
  ['gateways', 'backup', 'integrity'],
  ['health', 'metrics', 'tracing'],
  ['openapi'],
  ['server', 'cli'],
];

/** Decide and count by themselves: what they need of the outside is given to them. */
const cores = [
  'common/(maybe-promise|periodic|suspend-guard|group-commit)',
  'verification/checks',
  'quotas/(lease-manager|lease|budget-entry|window-entry|window-book|slots/slot-desk|slots/slot-pump|rate-ring|grant-memory|demand-estimator|grant-size)',
  'key-cache/records/(record-cache|record-loader|record-refresher|bounded-store|shared-parts|size-of|key-record|shared-values|fingerprints)',
  'key-cache/feed/(change-feed|database-clock)',
  'key-cache/denylist/denylist',
  'replicas/(replica-watch|failover/judgement|failover/history-memory)',
];

const upward = layers.slice(0, -1).map((layer, index) => ({
  name: `${layer.join('-')}-imports-downward-only`,
  severity: 'error',
  from: { path: `^src/(${layer.join('|')})/` },
  to: {
    path: `^src/(${layers
      .slice(index + 1)
      .flat()
      .join('|')})/`,
  },
}));

module.exports = {
  forbidden: [
    ...upward,
    {
      name: 'cores-import-no-framework-and-no-database',
      severity: 'error',
      from: { path: `^src/(${cores.join('|')})\\.ts$` },
      to: { path: 'node_modules/(@nestjs|typeorm|pg|fastify)/|^src/(database|config|http)/' },
    },
    {
      name: 'packages-know-no-product',
      severity: 'error',
      from: { path: '^packages/([^/]+)/', pathNot: '\\.spec\\.ts$' },
      to: { path: '^(src|test|console|clients)/|^packages/(?!$1/)' },
    },
    {
      name: 'packages-stand-alone',
      severity: 'error',
      comment: 'The contract is plain TypeScript; what starts PostgreSQL needs a connection to it and nothing else.',
      from: { path: '^packages/', pathNot: '\\.spec\\.ts$' },
      to: { dependencyTypes: ['npm', 'npm-optional', 'npm-dev'], pathNot: 'node_modules/(@types/)?pg/' },
    },
    {
      name: 'no-circular',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'common-knows-no-module',
      severity: 'error',
      from: { path: '^src/common/' },
      to: { path: '^src/(?!common/|config/)' },
    },
    {
      name: 'no-typeorm-in-controllers',
      severity: 'error',
      from: { path: '\\.controller\\.ts$' },
      to: { path: 'node_modules/typeorm' },
    },
    {
      name: 'traces-alone-know-their-library',
      severity: 'error',
      comment: 'It is loaded only where TRACES_URL is set.',
      from: { path: '^src/(?!tracing/)' },
      to: { path: 'node_modules/@opentelemetry/' },
    },
    {
      name: 'no-test-in-product',
      severity: 'error',
      from: { path: '^src/', pathNot: '\\.spec\\.ts$' },
      to: { path: '^test/' },
    },
    {
      name: 'features-meet-at-services',
      severity: 'error',
      // The server puts the parts together, and makes the demo's data.
      from: { path: '^src/(?!server/)([^/]+)/' },
      to: { path: '^src/(?!$1/).+\\.(repository|controller)\\.ts$' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      extensions: ['.ts', '.js'],
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default'],
    },
  },
};
