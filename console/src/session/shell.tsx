import { AppShell, Burger, Group, NavLink, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useIsFetching, useIsMutating, useQuery } from '@tanstack/react-query';
import { Link, Navigate, Outlet, useRouterState } from '@tanstack/react-router';
import { Suspense, lazy, useCallback, useEffect, useState } from 'react';
import type { Permission } from '../../../src/access/permissions.js';
import { settings } from '../settings';
import { ANNOUNCER_ID } from '../ui/announce';
import { Icon, type IconName } from '../ui/icons';
import { Loading } from '../ui/states';
import { hasUnsaved } from '../ui/unsaved';
import { ChoosePassword } from './choose-password';
import { Notices } from './notices';
import { SignedInAs, sessionQuery, useSession } from './session';
import { SignInAgain } from './sign-in-again';
import { UserBar } from './user-bar';

const Enrol = lazy(() => import('./enrol'));

interface Place {
  label: string;
  icon: IconName;
  to: string;
  search?: Record<string, string>;
  /** One of these opens it; absent: no permission is needed. */
  needs?: readonly Permission[];
  /** Whether it is for members of projects who lack the permission. */
  isForMembers?: true;
}

const PLACES: readonly Place[] = [
  { label: 'Overview', icon: 'overview', to: '/', needs: ['platform:usage:read'] },
  { label: 'Keys', icon: 'key', to: '/keys', needs: ['platform:api-keys:read'] },
  { label: 'My keys', icon: 'mine', to: '/my-keys' },
  { label: 'Projects', icon: 'project', to: '/projects', needs: ['platform:projects:read'] },
  { label: 'My projects', icon: 'project', to: '/projects', isForMembers: true },
  { label: 'Hygiene', icon: 'hygiene', to: '/hygiene', needs: ['platform:api-keys:read'] },
  { label: 'Spend', icon: 'spend', to: '/spend', needs: ['platform:usage:read'] },
  { label: 'Limits', icon: 'limit', to: '/limits', needs: ['platform:limits:read'] },
  { label: 'People', icon: 'people', to: '/people', search: { kind: 'person' }, needs: ['platform:users:read'] },
  {
    label: 'Service accounts',
    icon: 'service',
    to: '/people',
    search: { kind: 'service' },
    needs: ['platform:users:read'],
  },
  { label: 'Roles', icon: 'role', to: '/roles', needs: ['platform:roles:read'] },
  { label: 'Audit', icon: 'audit', to: '/audit', needs: ['platform:audit:read'] },
  { label: 'Connect a service', icon: 'connect', to: '/connect', needs: ['platform:api-keys:create'] },
  { label: 'Revoke a found key', icon: 'stop', to: '/found-key' },
];

/** Frame of every page behind the sign-in. */
export function Shell() {
  const { data } = useQuery(sessionQuery);
  // What the page shows belongs to this session, also after it has ended.
  const [last, setLast] = useState(data);
  if (data && data !== last) setLast(data);
  // Beyond the confirmation, for the recovery codes: they are shown this once.
  const [isEnrolling, setEnrolling] = useState(false);
  const begin = useCallback(() => setEnrolling(true), []);
  const hasEnded = !data && hasUnsaved();
  const shown = data ?? (hasEnded ? last : null);
  if (!shown) return <Navigate to="/sign-in" search={{ redirect: undefined, ended: undefined }} />;
  if (shown.mustChangePassword)
    return (
      <SignedInAs value={shown}>
        <ChoosePassword />
      </SignedInAs>
    );
  if (shown.mustEnrol || isEnrolling) {
    return (
      <Suspense fallback={<Loading />}>
        <Enrol onBegin={begin} onDone={() => setEnrolling(false)} />
      </Suspense>
    );
  }
  return (
    <SignedInAs value={shown}>
      <Frame key={shown.user.id} />
      {hasEnded && <SignInAgain user={shown.user} />}
    </SignedInAs>
  );
}

function Frame() {
  const [opened, { toggle, close }] = useDisclosure(false);
  const path = useRouterState({ select: (state) => state.location.pathname });
  useEffect(close, [path, close]);
  return (
    <AppShell
      header={{ height: 48 }}
      navbar={{ width: 212, breakpoint: 'sm', collapsed: { mobile: !opened } }}
      padding="md"
    >
      <a className="skip" href="#main">
        Skip to the content
      </a>
      <AppShell.Header>
        <Group h="100%" px="md" justify="space-between" wrap="nowrap">
          <Group gap="xs" wrap="nowrap">
            <Burger
              opened={opened}
              onClick={toggle}
              hiddenFrom="sm"
              size="sm"
              aria-label="Navigation"
              aria-expanded={opened}
            />
            <img src={new URL('../icon.svg', import.meta.url).href} width={24} height={24} alt="" />
            <Text fw={700} visibleFrom="xs">
              Latchkey
            </Text>
          </Group>
          <UserBar />
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="xs">
        <nav aria-label="Main" className="grow">
          <Places />
        </nav>
        <Reference />
      </AppShell.Navbar>
      <AppShell.Main id="main" tabIndex={-1}>
        <SlowServer />
        <Notices />
        <Outlet />
      </AppShell.Main>
      <div id={ANNOUNCER_ID} className="visually-hidden" role="status" aria-live="polite" />
    </AppShell>
  );
}

/** Longer than a page takes to load, and shorter than one waits without a word. */
const SLOW_MS = 8_000;

/** Says that an answer is being waited for, once it takes long. */
function SlowServer() {
  const isWaiting = useIsFetching() + useIsMutating() > 0;
  const [isSlow, setSlow] = useState(false);
  useEffect(() => {
    if (!isWaiting) return setSlow(false);
    const timer = window.setTimeout(() => setSlow(true), SLOW_MS);
    return () => window.clearTimeout(timer);
  }, [isWaiting]);
  return (
    <div role="status">
      {isSlow && (
        <Text size="sm" c="dimmed" mb="xs">
          Still waiting for the server. It is slow, or it cannot be reached.
        </Text>
      )}
    </div>
  );
}

function Places() {
  const { can, projects } = useSession();
  const isMember = projects.length > 0 && !can('platform:projects:read');
  const { path, kind } = useRouterState({
    select: ({ location }) => ({ path: location.pathname, kind: (location.search as { kind?: string }).kind }),
  });
  const places = PLACES.filter(
    ({ needs, isForMembers }) => (needs === undefined || needs.some(can)) && (isForMembers !== true || isMember),
  );
  return places.map(({ label, icon, to, search }) => {
    const isHere = to === '/' ? path === '/' : path === to || path.startsWith(`${to}/`);
    const active = isHere && (search === undefined || (path === to && (kind ?? 'person') === search['kind']));
    return (
      <NavLink
        key={label}
        label={label}
        leftSection={<Icon name={icon} />}
        active={active}
        aria-current={active ? 'page' : undefined}
        variant="light"
        py={7}
        renderRoot={(props) => <Link {...props} to={to as '/keys'} search={(search ?? {}) as never} />}
      />
    );
  });
}

/** Where the API is described: the document itself is beside it. */
function Reference() {
  if (settings.apiReference === null) return null;
  return (
    <nav aria-label="Reference">
      <NavLink
        label="API reference"
        leftSection={<Icon name="docs" />}
        py={7}
        component="a"
        href={settings.apiReference}
        target="_blank"
        rel="noopener"
      />
    </nav>
  );
}
