import { queryOptions, useQueryClient } from '@tanstack/react-query';
import { useRouter } from '@tanstack/react-router';
import { createContext, useContext } from 'react';
import { covers } from '../../../src/access/permission-grammar.js';
import type { KeyPolicy } from '../../../src/access/key-policy.js';
import type { Permission } from '../../../src/access/permissions.js';
import { type Me, Problem, api, dataOf } from '../api/client';
import { useAct } from '../ui/act';

/** How often a page that stays open asks what its user may do. */
const REFRESH_MS = 30_000;

/** Who is signed in; null: nobody. */
export const sessionQuery = queryOptions({
  queryKey: ['session'],
  staleTime: REFRESH_MS,
  refetchInterval: REFRESH_MS,
  queryFn: async (): Promise<Me | null> => {
    try {
      const { user, ...rest } = await dataOf(api.GET('/api/v1/auth/me'));
      // A session is a person's: only keys have no user.
      return user === null ? null : { ...rest, user };
    } catch (error) {
      if (error instanceof Problem && error.status === 401) return null;
      throw error;
    }
  },
});

/**
 * Who is signed in, as the shell hands it to its pages. They take it from here and not from the query: when a session
 * ends the shell is gone before any of its pages finds nobody.
 */
export const SignedInAs = createContext<Me | null>(null);

/** The signed-in user and what the user may do. Only below the shell, which is shown after a sign-in. */
export function useSession() {
  const data = useContext(SignedInAs);
  if (!data) throw new Error('useSession needs a signed-in user');
  return {
    user: data.user,
    roles: data.roles,
    permissions: data.permissions,
    keyPolicy: data.keyPolicy as KeyPolicy | null,
    notices: data.notices,
    /** Of which the user is a member. */
    projects: data.projects,
    /** Whether to offer something; the server decides again. */
    can: (permission: Permission) => covers(data.permissions, permission),
  };
}

/** What ends the session here: the next look at it finds nobody. */
export function useEndSession() {
  const queries = useQueryClient();
  return () => {
    queries.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'session' });
    queries.setQueryData(sessionQuery.queryKey, null);
  };
}

/** Ends the session on the server and here, and shows the sign-in. */
export function useSignOut() {
  const router = useRouter();
  const endSession = useEndSession();
  return useAct({
    run: () => api.POST('/api/v1/auth/logout'),
    onDone: () => {
      endSession();
      void router.navigate({ to: '/sign-in', search: { redirect: undefined, ended: undefined } });
    },
  });
}
