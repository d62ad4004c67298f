import { Button, Group, Paper, Stack, Text } from '@mantine/core';
import { type UseQueryResult, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { type ReactNode, useState } from 'react';
import { type Schemas, api, dataOf } from '../api/client';
import { useSession } from '../session/session';
import { sentence } from '../ui/format';
import { Empty, Loaded } from '../ui/states';
import { LimitBar, resetInWords } from './limit-bar';
import { TightenLimit } from './tighten-limit';

type Bound = Schemas['BoundLimitView'];

/** Limits that bind the calls of a key: on the key, its owner, its project and all keys. */
function useKeyLimits(keyId: string) {
  return useQuery({
    queryKey: ['keys', keyId, 'limits'],
    queryFn: () => dataOf(api.GET('/api/v1/api-keys/{id}/limits', { params: { path: { id: keyId } } })),
  });
}

export function KeyLimits({ keyId }: { keyId: string }) {
  const limits = useKeyLimits(keyId);
  return (
    <BoundLimits limits={limits} none="No limit binds this key">
      Its own budget and rate limits still apply; they are under Usage.
    </BoundLimits>
  );
}

/** What a check found about a limit: the limit by its name, and as its sentence, for those who may know them. */
export function LimitFinding({ keyId, detail }: { keyId: string; detail: string }) {
  const { data: limits } = useKeyLimits(keyId);
  const limit = limits?.data.find(({ id }) => detail.includes(id));
  if (!limit?.details) return <>{detail}</>;
  return (
    <>
      {detail.replace(limit.id, `“${limit.details.name}”`)}
      <br />
      {sentence(limit.details.sentence, limit.details.sentenceParts)}
    </>
  );
}

/** Limits on an owner, and the owner's accounts in others. */
export function OwnerLimits({ userId }: { userId: string }) {
  const limits = useQuery({
    queryKey: ['users', userId, 'limits'],
    queryFn: () => dataOf(api.GET('/api/v1/users/{id}/limits', { params: { path: { id: userId } } })),
  });
  return <BoundLimits limits={limits} none="No limit counts the calls of this owner" />;
}

/** Limits on a project. */
export function ProjectLimits({ projectId }: { projectId: string }) {
  const limits = useQuery({
    queryKey: ['projects', projectId, 'limits'],
    queryFn: () => dataOf(api.GET('/api/v1/projects/{id}/limits', { params: { path: { id: projectId } } })),
  });
  return <BoundLimits limits={limits} none="This project has no limits" />;
}

function BoundLimits({
  limits,
  none,
  children,
}: {
  limits: UseQueryResult<Schemas['BoundLimitsView']>;
  none: string;
  children?: ReactNode;
}) {
  return (
    <Loaded query={limits} rows={3}>
      {({ data, hasMore }) =>
        data.length === 0 ? (
          <Empty title={none}>{children}</Empty>
        ) : (
          <Stack gap="sm">
            {data.map((limit) => (
              <BoundLimit key={limit.id} limit={limit} />
            ))}
            {hasMore && (
              <Text size="sm" c="dimmed">
                There are more limits than the {data.length} that are shown.
              </Text>
            )}
          </Stack>
        )
      }
    </Loaded>
  );
}

const UNIT_NOUNS: Readonly<Record<Bound['unit'], string>> = {
  cents: 'money',
  tokens: 'tokens',
  requests: 'calls',
  slots: 'calls in flight',
};

function BoundLimit({ limit: { id, unit, allowedActs, details, state, per, resetsAt } }: { limit: Bound }) {
  const { can } = useSession();
  const [isTightening, setTightening] = useState(false);
  if (details === null) {
    return (
      <Paper withBorder p="sm">
        <Text size="sm">
          A limit of {UNIT_NOUNS[unit]}
          {per === null ? '' : per === 'total' ? ' in total' : ` per ${per}`} that calls of others share:{' '}
          {state === 'ok' ? 'something is left.' : <b>nothing is left.</b>}
        </Text>
        <Text size="xs" c="dimmed">
          {per !== null && `${resetInWords(per, { resetsAt })} `}Its numbers are not for you to see.
        </Text>
      </Paper>
    );
  }
  const { account } = details;
  // Who may make any change does so on the page of the limit.
  const mayTighten = allowedActs.includes('tighten') && !allowedActs.includes('update');
  return (
    <Paper withBorder p="sm" component="section" aria-label={details.name}>
      <Group justify="space-between" gap="xs" mb={4}>
        {can('platform:limits:read') ? (
          <Link className="text-link" to="/limits/$limitId" params={{ limitId: id }}>
            {details.name}
          </Link>
        ) : (
          <Text size="sm" fw={600}>
            {details.name}
          </Text>
        )}
        {account.member !== null && (
          <Text size="xs" c="dimmed">
            account of {account.member.name ?? account.member.id}
          </Text>
        )}
      </Group>
      <Text size="sm" mb="xs" className="breakable">
        {sentence(details.sentence, details.sentenceParts)}
      </Text>
      <LimitBar unit={unit} per={per} account={account} />
      {mayTighten && (
        <Button
          mt="xs"
          size="compact-xs"
          variant="default"
          aria-label={`Tighten ${details.name}`}
          onClick={() => setTightening(true)}
        >
          Tighten
        </Button>
      )}
      {isTightening && <TightenLimit limit={{ id, unit, ...details }} onClose={() => setTightening(false)} />}
    </Paper>
  );
}
