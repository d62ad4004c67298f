import type { Schemas } from '../api/client';

type Code = Schemas['VerdictView']['code'];

/** What a verdict's code means, for people; a code that is added to the contract breaks the build here. */
const VERDICTS: Record<Code, string> = {
  VALIDATION_FAILED: 'Request invalid',
  VALID: 'Allowed',
  MALFORMED: 'Not a key',
  NOT_FOUND: 'Unknown key',
  DISABLED: 'Inactive',
  REVOKED: 'Revoked',
  EXPIRED: 'Expired',
  OWNER_INACTIVE: 'Owner inactive',
  PROJECT_INACTIVE: 'Project inactive',
  WRONG_ENVIRONMENT: 'Wrong environment',
  IP_NOT_ALLOWED: 'Address not allowed',
  MODEL_NOT_ALLOWED: 'Model not allowed',
  CHATBOT_NOT_ALLOWED: 'Chatbot not allowed',
  INSUFFICIENT_SCOPE: 'Scope missing',
  RATE_LIMITED: 'Over a rate limit',
  BUDGET_EXCEEDED: 'Budget exceeded',
  CONCURRENCY_LIMITED: 'Too many calls in flight',
  SUBJECT_REQUIRED: 'Subject missing',
  TOO_MANY_SUBJECTS: 'Too many subjects',
  UNAVAILABLE: 'Not decided',
};

/** A verdict's code in words; one that is not known here as it came. */
export function verdictInWords(code: string): string {
  return VERDICTS[code as Code] ?? code;
}

const CHECKS: Readonly<Record<string, string>> = {
  revoked: 'Not revoked',
  active: 'Active',
  expiry: 'Not expired',
  owner: 'Owner active',
  project: 'Project active',
  environment: 'Environment',
  address: 'Address',
  model: 'Model',
  chatbot: 'Chatbot',
  scopes: 'Scopes',
  secret: 'Has a secret that works',
  'rate-limit-minute': 'Rate in a minute',
  'rate-limit-hour': 'Rate in an hour',
  'rate-limit-day': 'Rate in a day',
  budget: 'Budget',
  limit: 'Limit',
};

/** The name of a check in words. */
export function checkInWords(check: string): string {
  return CHECKS[check] ?? check;
}

const THINGS: Readonly<Record<string, readonly [one: string, many: string]>> = {
  'api-keys': ['key', 'keys'],
  'api-key-secrets': ['secret', 'secrets'],
  users: ['user', 'users'],
  roles: ['role', 'roles'],
  projects: ['project', 'projects'],
  limits: ['limit', 'limits'],
  'second-factors': ['second factor', 'second factors'],
  permissions: ['permissions', 'permissions'],
  usage: ['usage', 'usage'],
  audit: ['audit trail', 'audit trail'],
  system: ['replicas', 'replicas'],
  sessions: ['sessions', 'sessions'],
};

const VERBS: Readonly<Record<string, string>> = {
  create: 'Create',
  read: 'View',
  update: 'Change',
  delete: 'Delete',
  erase: 'Erase',
  regenerate: 'Regenerate secret of',
  renew: 'Renew',
  activate: 'Activate',
  deactivate: 'Deactivate',
  revoke: 'Revoke',
  transfer: 'Transfer',
  explain: 'Test a call of',
  import: 'Import',
  export: 'Export',
  verify: 'Verify',
  report: 'Report',
  bulk: 'Bulk change of',
};

const WHOLE: Readonly<Record<string, string>> = {
  'auth:login': 'Sign in',
  'auth:logout': 'Sign out',
  'sessions:revoke': 'End sessions',
  'second-factors:create': 'Begin second factor',
  'second-factors:activate': 'Set up second factor',
  'second-factors:regenerate': 'Create recovery codes',
  'audit:verify': 'Verify the audit trail',
  'api-key-secrets:delete': 'End a secret',
  'api-key-secrets:draw': 'Draw a secret',
  'hand-overs:create': 'Offer a secret to the owner',
  'hand-overs:end': 'End the offer of a secret',
  'system:read': 'View replicas',
  'system:bind-credentials': 'Bind credentials to their rows',
  'system:restore': 'Take over a restored database',
  'system:history-lost': 'Note changes lost by a failover',
  'system:accept-row': 'Accept a row as it is',
};

/** An action of the trail in words: `api-keys:revoke` is “Revoke key”. */
export function actionInWords(action: string, isMany = false): string {
  const [thing = '', verb = ''] = action.split(':');
  const whole = WHOLE[action];
  if (whole !== undefined) return whole;
  const said = VERBS[verb];
  const named = THINGS[thing];
  return said === undefined || named === undefined ? action : `${said} ${named[isMany ? 1 : 0]}`;
}

/** Every action that the trail can be searched for, with its name there. */
export const ACTIONS: readonly { value: string; label: string }[] = [
  'api-keys:create',
  'api-keys:read',
  'api-keys:update',
  'api-keys:regenerate',
  'api-key-secrets:delete',
  'api-key-secrets:draw',
  'hand-overs:create',
  'hand-overs:end',
  'api-keys:renew',
  'api-keys:activate',
  'api-keys:deactivate',
  'api-keys:revoke',
  'api-keys:delete',
  'api-keys:transfer',
  'api-keys:import',
  'api-keys:export',
  'api-keys:explain',
  'users:create',
  'users:read',
  'users:update',
  'users:delete',
  'projects:create',
  'projects:read',
  'projects:update',
  'projects:delete',
  'roles:create',
  'roles:read',
  'roles:update',
  'roles:delete',
  'limits:create',
  'limits:read',
  'limits:update',
  'limits:delete',
  'limits:export',
  'second-factors:create',
  'second-factors:activate',
  'second-factors:regenerate',
  'second-factors:delete',
  'auth:login',
  'auth:logout',
  'sessions:read',
  'sessions:revoke',
  'usage:read',
  'audit:read',
  'audit:export',
  'audit:verify',
  'system:read',
].map((value) => ({ value, label: actionInWords(value) }));

/** One and many: `3 keys`, `1 key`. */
export function plural(number: number, one: string, many = `${one}s`): string {
  return number === 1 ? one : many;
}
