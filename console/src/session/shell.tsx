import {
  ActionIcon,
  AppShell,
  Burger,
  Group,
  NavLink,
  Text,
  Tooltip,
  useComputedColorScheme,
  useMantineColorScheme,
} from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { Link, Navigate, Outlet, useRouterState } from '@tanstack/react-router';
import { Suspense, lazy, useCallback, useEffect, useState } from 'react';
import type { Permission } from '../../../src/access/permissions.js';
import { Loading } from '../ui/states';
import { Icon, type IconName } from '../ui/icons';
import { ChoosePassword } from './choose-password';
import { Notices } from './notices';
import { SignedInAs, sessionQuery, useSession, useSignOut } from './session';

const Enrol = lazy(() => import('./enrol'));

interface Place {
  label: string;
  icon: IconName;
  to: string;
  search?: Record<string, string>;
  /** One of these opens it; none: everybody. */
  needs?: readonly Permission[];
}

const PLACES: readonly Place[] = [
  { label: 'Overview', icon: 'overview', to: '/', needs: ['platform:usage:read'] },
  { label: 'Keys', icon: 'key', to: '/keys', needs: ['platform:api-keys:read'] },
  { label: 'My keys', icon: 'mine', to: '/my-keys' },
  { label: 'Hygiene', icon: 'hygiene', to: '/hygiene', needs: ['platform:api-keys:read'] },
  { label: 'Spend', icon: 'spend', to: '/spend', needs: ['platform:usage:read'] },
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
  // Beyond the confirmation, for the recovery codes: they are shown this once.
  const [isEnrolling, setEnrolling] = useState(false);
  const begin = useCallback(() => setEnrolling(true), []);
  if (!data) return <Navigate to="/sign-in" search={{ redirect: undefined, ended: undefined }} />;
  if (data.mustChangePassword)
    return (
      <SignedInAs value={data}>
        <ChoosePassword />
      </SignedInAs>
    );
  if (data.mustEnrol || isEnrolling) {
    return (
      <Suspense fallback={<Loading />}>
        <Enrol onBegin={begin} onDone={() => setEnrolling(false)} />
      </Suspense>
    );
  }
  return (
    <SignedInAs value={data}>
      <Frame />
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
        <nav aria-label="Main">
          <Places />
        </nav>
      </AppShell.Navbar>
      <AppShell.Main id="main" tabIndex={-1}>
        <Notices />
        <Outlet />
      </AppShell.Main>
    </AppShell>
  );
}

function Places() {
  const { can } = useSession();
  const { path, kind } = useRouterState({
    select: ({ location }) => ({ path: location.pathname, kind: (location.search as { kind?: string }).kind }),
  });
  return PLACES.filter(({ needs }) => needs === undefined || needs.some(can)).map(({ label, icon, to, search }) => {
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

function UserBar() {
  const { user } = useSession();
  const signOut = useSignOut();
  const { setColorScheme } = useMantineColorScheme();
  const scheme = useComputedColorScheme('light');
  const other = scheme === 'dark' ? 'light' : 'dark';
  return (
    <Group gap={6} wrap="nowrap" style={{ minWidth: 0 }}>
      <Link
        to="/account"
        className="plain-link"
        style={{ overflow: 'hidden', textOverflow: 'ellipsis', whiteSpace: 'nowrap', fontSize: '0.875rem' }}
        title="Your account"
      >
        {user.name}
      </Link>
      <Tooltip label={`Switch to ${other} colours`}>
        <ActionIcon
          variant="subtle"
          color="gray"
          onClick={() => setColorScheme(other)}
          aria-label={`Switch to ${other} colours`}
        >
          <Icon name={scheme === 'dark' ? 'sun' : 'moon'} />
        </ActionIcon>
      </Tooltip>
      <Tooltip label="Sign out">
        <ActionIcon
          variant="subtle"
          color="gray"
          onClick={() => signOut.go()}
          loading={signOut.isPending}
          aria-label="Sign out"
        >
          <Icon name="out" />
        </ActionIcon>
      </Tooltip>
    </Group>
  );
}
