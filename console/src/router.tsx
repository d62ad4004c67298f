import type { QueryClient } from '@tanstack/react-query';
import {
  type ErrorComponentProps,
  Link,
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  redirect,
  useRouter,
} from '@tanstack/react-router';
import { LIMIT_UNITS, type LimitUnit } from '../../packages/contract/src/limit';
import { readKeySearch } from './keys/key-search';
import { LonePage } from './session/lone-page';
import { Shell } from './session/shell';
import { SIGN_IN_PROBLEMS, SignIn, type SignInProblem } from './session/sign-in';
import { sessionQuery } from './session/session';
import { covers } from '../../src/access/permission-grammar.js';
import { Empty, Page, ProblemAlert } from './ui/states';

type Search = Record<string, unknown>;
const text = (value: unknown) =>
  typeof value === 'string' && value !== '' ? value : typeof value === 'number' ? String(value) : undefined;
const whole = (value: unknown) => (Number.isInteger(Number(value)) && Number(value) >= 1 ? Number(value) : undefined);
const oneOf = <T extends string>(value: unknown, values: readonly T[]) => values.find((one) => one === value);

const root = createRootRouteWithContext<{ queries: QueryClient }>()();

const signIn = createRoute({
  getParentRoute: () => root,
  path: '/sign-in',
  component: SignIn,
  validateSearch: (search: Search): { redirect?: string; ended?: true; problem?: SignInProblem } => ({
    redirect: text(search['redirect']),
    ended: search['ended'] === true ? true : undefined,
    problem: oneOf(search['problem'], SIGN_IN_PROBLEMS),
  }),
  beforeLoad: async ({ context, search }) => {
    if (search.ended || search.problem) return;
    if (await context.queries.ensureQueryData(sessionQuery).catch(() => null)) throw redirect({ to: '/' });
  },
});

const shell = createRoute({
  getParentRoute: () => root,
  id: 'shell',
  component: Shell,
  errorComponent: NotLoaded,
  beforeLoad: async ({ context, location }) => {
    const session = await context.queries.ensureQueryData(sessionQuery);
    if (!session)
      throw redirect({
        to: '/sign-in',
        search: { redirect: location.pathname === '/' ? undefined : location.href, ended: undefined },
      });
    return { session };
  },
});

const home = createRoute({
  getParentRoute: () => shell,
  path: '/',
  beforeLoad: ({ context }) => {
    if (!covers(context.session.permissions, 'platform:usage:read')) throw redirect({ to: '/my-keys' });
  },
  component: lazyRouteComponent(() => import('./usage/overview'), 'Overview'),
});

const keys = createRoute({
  getParentRoute: () => shell,
  path: '/keys',
  validateSearch: readKeySearch,
  component: lazyRouteComponent(() => import('./keys/keys-page'), 'KeysPage'),
});
const myKeys = createRoute({
  getParentRoute: () => shell,
  path: '/my-keys',
  validateSearch: readKeySearch,
  component: lazyRouteComponent(() => import('./keys/keys-page'), 'MyKeysPage'),
});
const importKeys = createRoute({
  getParentRoute: () => shell,
  path: '/keys/import',
  component: lazyRouteComponent(() => import('./keys/import-page'), 'ImportPage'),
});
const byAlias = createRoute({
  getParentRoute: () => shell,
  path: '/keys/by-alias',
  component: lazyRouteComponent(() => import('./keys/alias-page'), 'AliasPage'),
});
const foundKey = createRoute({
  getParentRoute: () => shell,
  path: '/found-key',
  component: lazyRouteComponent(() => import('./keys/found-key-page'), 'FoundKeyPage'),
});
/** Open to everyone: revoking a found key takes no account. */
const revoke = createRoute({
  getParentRoute: () => root,
  path: '/revoke',
  component: lazyRouteComponent(() => import('./keys/found-key-page'), 'FoundKey'),
});
const newKey = createRoute({
  getParentRoute: () => shell,
  path: '/keys/new',
  validateSearch: (search: Search): { ownerId?: string; projectId?: string } => ({
    ownerId: text(search['ownerId']),
    projectId: text(search['projectId']),
  }),
  component: lazyRouteComponent(() => import('./keys/key-form'), 'NewKey'),
});
const key = createRoute({
  getParentRoute: () => shell,
  path: '/keys/$keyId',
  validateSearch: (search: Search) => ({
    tab: oneOf(search['tab'], ['usage', 'limits', 'settings', 'secrets', 'refused', 'explain', 'history']),
  }),
  component: lazyRouteComponent(() => import('./keys/key-page'), 'KeyPage'),
});
const editKey = createRoute({
  getParentRoute: () => shell,
  path: '/keys/$keyId/edit',
  component: lazyRouteComponent(() => import('./keys/key-form'), 'EditKey'),
});

const projects = createRoute({
  getParentRoute: () => shell,
  path: '/projects',
  validateSearch: (search: Search) => ({ page: whole(search['page']) }),
  component: lazyRouteComponent(() => import('./projects/projects-page'), 'ProjectsPage'),
});
const project = createRoute({
  getParentRoute: () => shell,
  path: '/projects/$projectId',
  validateSearch: (search: Search) => ({
    tab: oneOf(search['tab'], ['keys', 'members', 'limits', 'spend', 'settings', 'history']),
  }),
  component: lazyRouteComponent(() => import('./projects/project-page'), 'ProjectPage'),
});

const people = createRoute({
  getParentRoute: () => shell,
  path: '/people',
  validateSearch: (search: Search) => ({
    kind: oneOf(search['kind'], ['person', 'service']),
    search: text(search['search']),
    role: text(search['role']),
    isActive: oneOf(String(search['isActive']), ['true', 'false']),
    page: whole(search['page']),
  }),
  component: lazyRouteComponent(() => import('./people/people-page'), 'PeoplePage'),
});
const person = createRoute({
  getParentRoute: () => shell,
  path: '/people/$userId',
  component: lazyRouteComponent(() => import('./people/person-page'), 'PersonPage'),
});

const roles = createRoute({
  getParentRoute: () => shell,
  path: '/roles',
  component: lazyRouteComponent(() => import('./roles/roles-page'), 'RolesPage'),
});
const newRole = createRoute({
  getParentRoute: () => shell,
  path: '/roles/new',
  component: lazyRouteComponent(() => import('./roles/role-form'), 'NewRole'),
});
const role = createRoute({
  getParentRoute: () => shell,
  path: '/roles/$name',
  component: lazyRouteComponent(() => import('./roles/role-form'), 'EditRole'),
});

const limits = createRoute({
  getParentRoute: () => shell,
  path: '/limits',
  validateSearch: (search: Search): { page?: number; unit?: LimitUnit; usedAbove?: string } => ({
    page: whole(search['page']),
    unit: oneOf(search['unit'], LIMIT_UNITS),
    usedAbove: text(search['usedAbove']),
  }),
  component: lazyRouteComponent(() => import('./limits/limits-page'), 'LimitsPage'),
});
const newLimit = createRoute({
  getParentRoute: () => shell,
  path: '/limits/new',
  validateSearch: (search: Search): { target?: string } => ({ target: text(search['target']) }),
  component: lazyRouteComponent(() => import('./limits/limit-form'), 'NewLimit'),
});
const limit = createRoute({
  getParentRoute: () => shell,
  path: '/limits/$limitId',
  component: lazyRouteComponent(() => import('./limits/limit-page'), 'LimitPage'),
});

const audit = createRoute({
  getParentRoute: () => shell,
  path: '/audit',
  validateSearch: (search: Search) => ({
    actorId: text(search['actorId']),
    action: text(search['action']),
    resourceType: text(search['resourceType']),
    resourceId: text(search['resourceId']),
    outcome: oneOf(search['outcome'], ['success', 'refused']),
    from: text(search['from']),
    to: text(search['to']),
    reads: search['reads'] === true ? (true as const) : undefined,
  }),
  component: lazyRouteComponent(() => import('./audit/audit-page'), 'AuditPage'),
});

const hygiene = createRoute({
  getParentRoute: () => shell,
  path: '/hygiene',
  component: lazyRouteComponent(() => import('./keys/hygiene-page'), 'HygienePage'),
});
const spend = createRoute({
  getParentRoute: () => shell,
  path: '/spend',
  validateSearch: (search: Search) => ({
    groupBy: oneOf(search['groupBy'], ['day', 'owner', 'project', 'tag', 'model', 'key', 'subject']),
    from: text(search['from']),
    to: text(search['to']),
  }),
  component: lazyRouteComponent(() => import('./usage/spend-page'), 'SpendPage'),
});
const connect = createRoute({
  getParentRoute: () => shell,
  path: '/connect',
  component: lazyRouteComponent(() => import('./connect/connect-page'), 'ConnectPage'),
});
const account = createRoute({
  getParentRoute: () => shell,
  path: '/account',
  component: lazyRouteComponent(() => import('./people/account-page'), 'AccountPage'),
});

/** Any other address: the shell stays, so that there is a way back. */
const unknown = createRoute({ getParentRoute: () => shell, path: '$', component: UnknownPage });

const tree = root.addChildren([
  signIn,
  revoke,
  shell.addChildren([
    home,
    keys,
    myKeys,
    newKey,
    importKeys,
    byAlias,
    foundKey,
    key,
    editKey,
    projects,
    project,
    people,
    person,
    roles,
    newRole,
    role,
    limits,
    newLimit,
    limit,
    audit,
    hygiene,
    spend,
    connect,
    account,
    unknown,
  ]),
]);

function UnknownPage() {
  return (
    <Page title="Not found">
      <Empty
        title="There is no such page"
        action={
          <Link className="text-link" to="/">
            To the first page
          </Link>
        }
      >
        The address may be misspelt, or the page belongs to another version.
      </Empty>
    </Page>
  );
}

/** Where not even the session could be read: there is no shell yet to show it in. */
function NotLoaded({ error, reset }: ErrorComponentProps) {
  const router = useRouter();
  const retry = () => {
    reset();
    void router.invalidate();
  };
  return (
    <LonePage title="Not loaded" width={460}>
      <ProblemAlert error={error} onRetry={retry} />
    </LonePage>
  );
}

/** The pages; everything behind the sign-in is loaded when it is first opened. */
export function createAppRouter(queries: QueryClient) {
  return createRouter({
    routeTree: tree,
    basepath: '/console',
    context: { queries },
    defaultPreload: 'intent',
    defaultErrorComponent: ({ error, reset }) => <ProblemAlert error={error} onRetry={reset} />,
    defaultNotFoundComponent: UnknownPage,
  });
}

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof createAppRouter>;
  }
}
