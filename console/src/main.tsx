import '@mantine/core/styles.css';
import '@mantine/notifications/styles.css';
import './app.css';
import { MantineProvider } from '@mantine/core';
import { Notifications } from '@mantine/notifications';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { createRoot } from 'react-dom/client';
import { Problem, onProblem } from './api/client';
import { createAppRouter } from './router';
import { sessionQuery } from './session/session';
import { theme, variables } from './theme';
import { noteNavigation } from './ui/announce';
import { hasUnsaved } from './ui/unsaved';

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      // Looking again at once shows what was there; what one does oneself is asked for anew. Every read is audited.
      staleTime: 15_000,
      // What the server refused it refuses again; only silence is worth another try.
      retry: (failures, error) =>
        failures < 2 &&
        error instanceof Problem &&
        error.code !== 'TIMEOUT' &&
        (error.status === 0 || error.status === 503),
      // Without a network a request fails and says so; by default it would wait for the network without a word.
      networkMode: 'always',
    },
    mutations: { networkMode: 'always' },
  },
});
const router = createAppRouter(queries);
router.subscribe('onBeforeNavigate', ({ fromLocation, pathChanged }) => {
  if (fromLocation && pathChanged) noteNavigation();
});

onProblem(({ status, code }) => {
  // The session has ended elsewhere (signed out, deactivated, expired): everything that was read goes with it, unless
  // something would be lost. Then the shell asks for a new sign-in over the page.
  if (status === 401 && code === 'UNAUTHENTICATED' && queries.getQueryData(sessionQuery.queryKey)) {
    if (hasUnsaved()) {
      queries.setQueryData(sessionQuery.queryKey, null);
      return;
    }
    queries.clear();
    queries.setQueryData(sessionQuery.queryKey, null);
    const here = router.state.location;
    void router.navigate({
      to: '/sign-in',
      search: { redirect: here.pathname === '/sign-in' ? undefined : here.href, ended: true },
    });
  }
  // A right was taken away meanwhile: ask what is left.
  if (status === 403) void queries.invalidateQueries({ queryKey: sessionQuery.queryKey });
});

createRoot(document.getElementById('root')!).render(
  <MantineProvider theme={theme} cssVariablesResolver={variables} defaultColorScheme="auto">
    <Notifications position="bottom-right" />
    <QueryClientProvider client={queries}>
      <RouterProvider router={router} />
    </QueryClientProvider>
  </MantineProvider>,
);
