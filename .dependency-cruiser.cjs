/** The import arrows of ARCHITECTURE.md. A lower layer never imports a higher one. */
const layers = [
  ['config', 'common'],
  ['database'],
  ['access', 'audit'],
  ['installation', 'users', 'auth', 'api-keys'],
  ['quotas', 'verification', 'usage'],
  ['gateways', 'backup', 'integrity'],
  ['health', 'metrics'],
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
      name: 'no-circular',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      // The console and the client take it as it is: neither Node.js nor a package may be needed to run it.
      name: 'contract-is-pure',
      severity: 'error',
      from: { path: '^packages/contract/', pathNot: '\\.spec\\.ts$' },
      to: { pathNot: '^packages/contract/' },
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
      name: 'no-test-in-product',
      severity: 'error',
      from: { path: '^src/', pathNot: '\\.spec\\.ts$' },
      to: { path: '^test/' },
    },
    {
      name: 'features-meet-at-services',
      severity: 'error',
      from: { path: '^src/([^/]+)/' },
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
