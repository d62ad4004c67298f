/**
 * The name of each operation, by its handler. Generators make functions of these names, so a name is never changed after
 * a release: a verb and a resource, one verb for each act. `test/contract/operation-ids.txt` holds what was released.
 */
const OPERATION_IDS: Readonly<Record<string, string>> = {
  'AuthController.login': 'signIn',
  'AuthController.logout': 'signOut',
  'AuthController.me': 'getMe',
  'NoticesController.acknowledge': 'acknowledgeNotices',
  'OidcController.login': 'beginOidcSignIn',
  'OidcController.callback': 'completeOidcSignIn',
  'SecondFactorController.find': 'getSecondFactor',
  'SecondFactorController.begin': 'beginSecondFactor',
  'SecondFactorController.confirm': 'confirmSecondFactor',
  'SecondFactorController.redraw': 'regenerateRecoveryCodes',
  'SecondFactorController.remove': 'removeSecondFactor',
  'SecondFactorController.reset': 'resetUserSecondFactor',
  'SessionsController.list': 'listUserSessions',
  'SessionsController.end': 'endUserSession',
  'SessionsController.endAll': 'endUserSessions',
  'UsersController.list': 'listUsers',
  'UsersController.create': 'createUser',
  'UsersController.get': 'getUser',
  'UsersController.update': 'updateUser',
  'UsersController.delete': 'deleteUser',
  'UsersController.setRoles': 'setUserRoles',
  'UsersController.setPassword': 'setUserPassword',
  'RolesController.list': 'listRoles',
  'RolesController.create': 'createRole',
  'RolesController.get': 'getRole',
  'RolesController.update': 'updateRole',
  'RolesController.delete': 'deleteRole',
  'PermissionsController.list': 'listPermissions',
  'AuditEventsController.list': 'listAuditEvents',
  'AuditEventsController.export': 'exportAuditEvents',
  'AuditEventsController.stream': 'streamAuditEvents',
  'AuditEventsController.verify': 'verifyAuditTrail',
  'ApiKeyListsController.list': 'listApiKeys',
  'ApiKeyListsController.facets': 'countApiKeys',
  'ApiKeyListsController.export': 'exportApiKeys',
  'ApiKeysController.create': 'createApiKey',
  'ApiKeysController.get': 'getApiKey',
  'ApiKeysController.update': 'updateApiKey',
  'ApiKeysController.replace': 'updateApiKeyByPut',
  'KeyBatchesController.import': 'importApiKeys',
  'KeyBatchesController.change': 'changeApiKeys',
  'KeyByAliasController.put': 'upsertApiKeyByAlias',
  'KeyLifecycleController.renew': 'renewApiKey',
  'KeyLifecycleController.activate': 'activateApiKey',
  'KeyLifecycleController.deactivate': 'deactivateApiKey',
  'KeyLifecycleController.revoke': 'revokeApiKey',
  'KeyLifecycleController.delete': 'revokeApiKeyByDelete',
  'KeyLifecycleController.deletePermanently': 'deleteApiKey',
  'KeyLifecycleController.transfer': 'transferApiKey',
  'KeySecretsController.regenerate': 'regenerateApiKey',
  'KeySecretsController.endSecret': 'endApiKeySecret',
  'SelfRevokeController.revoke': 'revokeLeakedApiKey',
  'ExplainController.explain': 'explainApiKey',
  'VerifyController.verify': 'verifyKey',
  'VerifyController.verifyBatch': 'verifyKeys',
  'UsageController.report': 'reportUsage',
  'UsageController.release': 'releaseReservation',
  'KeyUsageController.get': 'getApiKeyUsage',
  'KeyUsageController.series': 'getApiKeyUsageSeries',
  'UsageEventsController.find': 'listUsageEvents',
  'UsageSummaryController.summary': 'getUsageSummary',
  'UsageSummaryController.refusals': 'getUsageRefusals',
  'IntrospectController.introspect': 'introspectToken',
  'ForwardAuthController.decide': 'authorizeForwardAuth',
  'ExtAuthzController.decide': 'authorizeExtAuthz',
  'ExtAuthzController.decideForPath': 'authorizeExtAuthzPath',
  'ReplicasController.list': 'listReplicas',
  'HealthController.everything': 'getHealth',
  'HealthController.live': 'getLiveness',
  'HealthController.ready': 'getReadiness',
  'MetricsController.read': 'getMetrics',
};

/**
 * The id of a handler's operation, such as `verifyKey`.
 *
 * @throws Error for a handler without one: generated clients would name a function after our class.
 */
export function operationIdOf(controller: string, method: string): string {
  const handler = `${controller}.${method}`;
  const id = OPERATION_IDS[handler];
  if (id === undefined) throw new Error(`${handler} has no operation id: name it in src/openapi/operation-ids.ts.`);
  return id;
}
