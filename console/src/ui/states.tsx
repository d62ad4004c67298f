import { ActionIcon, Alert, Button, Center, Group, Skeleton, Stack, Text, Title } from '@mantine/core';
import type { UseQueryResult } from '@tanstack/react-query';
import { type ReactNode, useEffect, useRef } from 'react';
import { Problem } from '../api/client';
import { announcePage } from './announce';
import { time } from './format';
import { Icon } from './icons';

const TITLES: Readonly<Record<number, string>> = { 403: 'Not permitted', 404: 'Not found', 429: 'Too many requests' };

/**
 * Something the server refused, in its own words, with what to quote when asking for help. The answer to an act, which
 * has no `onRetry`, scrolls into view and takes the focus: the button may be far from it.
 */
export function ProblemAlert({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const problem = error instanceof Problem ? error : null;
  const title = TITLES[problem?.status ?? 0];
  const mayWork = problem?.status === 403 || problem?.status === 429;
  const unsaid = (problem?.errors ?? []).filter(({ message }) => !problem!.message.includes(message));
  const alert = useRef<HTMLDivElement>(null);
  const isAnswer = onRetry === undefined;
  useEffect(() => {
    if (!isAnswer) return;
    alert.current?.scrollIntoView({ block: 'center' });
    alert.current?.focus({ preventScroll: true });
  }, [error, isAnswer]);
  return (
    <Alert
      ref={alert}
      tabIndex={isAnswer ? -1 : undefined}
      color={mayWork ? 'yellow' : 'red'}
      variant="outline"
      title={title ?? 'This did not work'}
      role="alert"
    >
      <Stack gap="xs" align="flex-start">
        <Text size="sm">{error instanceof Error ? error.message : 'Something went wrong.'}</Text>
        {unsaid.length > 0 && (
          <ul style={{ margin: 0, paddingLeft: 18 }}>
            {unsaid.map(({ path, message }) => (
              <li key={`${path} ${message}`}>
                <Text size="sm" component="span">
                  <span className="mono">{path}</span> {message}
                </Text>
              </li>
            ))}
          </ul>
        )}
        {problem?.requestId && (
          <Text size="xs" c="dimmed">
            Request {problem.requestId}
          </Text>
        )}
        {onRetry && (
          <Button size="xs" variant="default" onClick={onRetry}>
            Try again
          </Button>
        )}
      </Stack>
    </Alert>
  );
}

/** What is shown where there is nothing: what would be here, and how to get it. */
export function Empty({ title, children, action }: { title: string; children?: ReactNode; action?: ReactNode }) {
  return (
    <Center py={36} px="md" className="bordered">
      <Stack gap={6} align="center" maw={440}>
        <Text fw={600}>{title}</Text>
        {children && (
          <Text size="sm" c="dimmed" ta="center" component="div">
            {children}
          </Text>
        )}
        {action}
      </Stack>
    </Center>
  );
}

/** Grey bars of about the height of what will come. */
export function Loading({ rows = 5 }: { rows?: number }) {
  return (
    <Stack gap={8} aria-busy="true" role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, index) => (
        <Skeleton key={index} height={28} radius="sm" />
      ))}
    </Stack>
  );
}

/** Loading, refused, or the data. Data that could not be refreshed stays, with its time; so does a form made of it. */
export function Loaded<T>({
  query,
  rows,
  children,
}: {
  query: UseQueryResult<T>;
  rows?: number;
  children: (data: T) => ReactNode;
}) {
  const { data, error, dataUpdatedAt, isRefetching } = query;
  if (data === undefined && error === null) return <Loading rows={rows} />;
  if (data === undefined) return <ProblemAlert error={error} onRetry={() => void query.refetch()} />;
  return (
    <>
      {error !== null && !isRefetching && !isSessionEnded(error) && (
        <Stale error={error} at={dataUpdatedAt} onRetry={() => void query.refetch()} />
      )}
      {children(data)}
    </>
  );
}

/** The sign-in says it, once, over the page. */
function isSessionEnded(error: unknown): boolean {
  return error instanceof Problem && error.status === 401;
}

/** What is shown is older than was asked for. */
function Stale({ error, at, onRetry }: { error: Error; at: number; onRetry: () => void }) {
  return (
    <Alert color="yellow" variant="outline" p="xs" mb="xs" role="status">
      <Group gap="sm">
        <Text size="sm">
          Not refreshed. This is from {time(at)}. {error.message}
        </Text>
        <Button size="compact-xs" variant="default" onClick={onRetry}>
          Try again
        </Button>
      </Group>
    </Alert>
  );
}

/** Rows of another question than the one asked: still readable, but not to be acted on until the answer is there. */
export function Busy({ isBusy, children }: { isBusy: boolean; children: ReactNode }) {
  return (
    <div aria-busy={isBusy} inert={isBusy} className={isBusy ? 'busy' : undefined}>
      {children}
    </div>
  );
}

/** As `Loaded`, for a page that is about one thing: where there is no such thing, asking again does not help. */
export function LoadedPage<T>({
  query,
  rows,
  back,
  children,
}: {
  query: UseQueryResult<T>;
  rows?: number;
  back: ReactNode;
  children: (data: T) => ReactNode;
}) {
  if (query.error instanceof Problem && query.error.status === 404) {
    return (
      <Page title="Not found">
        <Empty title={query.error.message} action={back}>
          It was deleted for good, or it is not for you to see.
        </Empty>
      </Page>
    );
  }
  return (
    <Loaded query={query} rows={rows}>
      {children}
    </Loaded>
  );
}

/** Heading, what the page is for, and what can be done on it. */
export function Page({
  title,
  lead,
  actions,
  children,
}: {
  title: string;
  lead?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · Latchkey`;
    announcePage(title, heading.current);
  }, [title]);
  return (
    <Stack gap="md">
      <Group justify="space-between" align="flex-start" gap="sm">
        <div className="page-title">
          <Title order={1} className="breakable" ref={heading} tabIndex={-1}>
            {title}
          </Title>
          {lead && (
            <Text c="dimmed" size="sm" mt={2} component="div">
              {lead}
            </Text>
          )}
        </div>
        {actions && <Group gap="xs">{actions}</Group>}
      </Group>
      {children}
    </Stack>
  );
}

/** When what is shown was asked for, and a button to ask again. Pages do not ask by themselves: reads are audited. */
export function AsOf({
  at,
  isFetching,
  onRefresh,
  children,
}: {
  at: number;
  isFetching: boolean;
  onRefresh: () => void;
  children?: ReactNode;
}) {
  return (
    <Group gap="sm" justify="flex-end">
      {children}
      <Group gap={4} wrap="nowrap">
        <Text size="xs" c="dimmed">
          {at === 0 ? (isFetching ? 'loading' : 'not loaded') : `as of ${time(at)}`}
        </Text>
        <ActionIcon
          variant="subtle"
          color="gray"
          size="sm"
          aria-label="Refresh"
          onClick={onRefresh}
          loading={isFetching}
        >
          <Icon name="refresh" size={14} />
        </ActionIcon>
      </Group>
    </Group>
  );
}

/** A page one may not see: said plainly, with the permission it takes. */
export function NoPermission({ permission }: { permission: string }) {
  return (
    <Page title="Not permitted">
      <Empty title="Your roles do not include this page">
        You need the permission <span className="mono">{permission}</span>. Ask an administrator to grant it.
      </Empty>
    </Page>
  );
}
