import { covers } from '../../src/access/permission-grammar.js';
import type { DeclaredRoute } from '../../src/access/route-access.js';
import { SEEDED_ROLES } from '../../src/users/seed.js';

/** What a role may do on a route. `own`: only with things that are its holder's. */
export type Verdict = 'yes' | 'own' | 'no';

export const ROLES = SEEDED_ROLES.map(({ name }) => name);

/** What the declared rule says, without asking the server. */
export function verdictOf({ rule }: DeclaredRoute, role: string): Verdict {
  const grants = SEEDED_ROLES.find(({ name }) => name === role)!.permissions;
  switch (rule?.kind) {
    case 'public':
    case 'signed-in':
      return 'yes';
    case 'permission':
      return [rule.permission, rule.alsoNeeds ?? rule.permission].every((permission) => covers(grants, permission))
        ? 'yes'
        : 'no';
    // The role of the key that the gateway shows; what its client presented is not asked for a permission.
    case 'gateway':
      return covers(grants, rule.permission) ? 'yes' : 'no';
    case 'owner-or':
    case 'member-or':
      return covers(grants, rule.permission) ? 'yes' : 'own';
    case 'owner':
      return 'own';
    case undefined:
      return 'no';
  }
}

/** A route's rule in words. */
export function ruleText({ rule }: DeclaredRoute): string {
  switch (rule?.kind) {
    case 'public':
      return 'anybody';
    case 'signed-in':
      return 'any credentials';
    case 'permission':
      return rule.alsoNeeds ? `\`${rule.permission}\` and \`${rule.alsoNeeds}\`` : `\`${rule.permission}\``;
    case 'gateway':
      return `a gateway's key with \`${rule.permission}\``;
    case 'owner-or':
      return `its owner, or \`${rule.permission}\``;
    case 'member-or':
      return `${rule.role === 'admin' ? 'its admins' : 'its members'}, or \`${rule.permission}\``;
    case 'owner':
      return 'its owner, signed in';
    case undefined:
      return 'NONE';
  }
}

/** The checked-in table. Its diff is reviewed as a change of permissions. */
export function matrixText(routes: readonly DeclaredRoute[]): string {
  const rows = [...routes]
    .sort((a, b) => (`${a.path} ${a.method}` < `${b.path} ${b.method}` ? -1 : 1))
    .map(
      (route) =>
        `| \`${route.method} ${route.path}\` | ${ruleText(route)} | ${ROLES.map((role) => verdictOf(route, role)).join(' | ')} |`,
    );
  return [
    '# Who may call what',
    '',
    'Made from the code by `npm run contract:update`; a test holds the two equal and tries every cell on a running',
    'server. A change here is a change of permissions. Paths are below `/api/v1`, but for `/health` and `/metrics`.',
    '`own`: only with what belongs to the caller, or to a service account the caller manages; the rest answers as if it were',
    'missing. A service may ask for more where a request does (creating for others, say).',
    '',
    `| route | rule | ${ROLES.join(' | ')} |`,
    `|---|---|${ROLES.map(() => '---').join('|')}|`,
    ...rows,
    '',
  ].join('\n');
}
