import { Button, Group, Select, Stack, Switch, Table, Text } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { type ApiKey, type Schemas, api, dataOf } from '../api/client';
import { count, localWithSeconds, money } from '../ui/format';
import { AsOf, Empty, Loaded } from '../ui/states';
import { Copy, HiddenHead, Instant } from '../ui/values';
import { plural, verdictInWords } from '../ui/words';

export type RefusedCall = Schemas['RefusedCallView'];
type Refused = Schemas['RefusedCallsView'];

/** How often a list asks that has been told to. */
const LIVE_MS = 5_000;

/** All that are kept of a key. */
const LIMIT = '100';

const VIA: Record<RefusedCall['via'], string> = {
  verify: 'verification',
  introspect: 'introspection',
  gateway: 'gateway',
};

/** The last refused calls of a key, each with a way to test it again; followed while that is asked for. */
export function RefusedCalls({ apiKey, onTest }: { apiKey: ApiKey; onTest: (call: RefusedCall) => void }) {
  const queries = useQueryClient();
  const [code, setCode] = useState<string | null>(null);
  const [isLive, setLive] = useState(false);
  const queryKey = ['keys', apiKey.id, 'refused', code];
  const calls = useQuery({
    queryKey,
    // Each look is an entry in the audit trail: a page that is left open must not fill it.
    refetchInterval: isLive ? LIVE_MS : false,
    queryFn: () =>
      dataOf(
        api.GET('/api/v1/api-keys/{id}/refusals', {
          params: {
            path: { id: apiKey.id },
            query: { limit: LIMIT, ...(code === null ? {} : { code: code as never }) },
          },
        }),
      ),
  });
  return (
    <Stack gap="sm">
      <AsOf
        at={calls.dataUpdatedAt}
        isFetching={calls.isFetching}
        onRefresh={() => void queries.invalidateQueries({ queryKey })}
      >
        <Select
          size="xs"
          w={190}
          aria-label="Reason"
          placeholder="Any reason"
          clearable
          data={CODES.map((value) => ({ value, label: verdictInWords(value) }))}
          value={code}
          onChange={setCode}
        />
        <Switch
          size="xs"
          label="Live"
          checked={isLive}
          onChange={(event) => setLive(event.currentTarget.checked)}
          title="Asks every 5 seconds; stop it to read on. Each look is an entry in the audit trail."
        />
      </AsOf>
      <Loaded query={calls} rows={6}>
        {(data) => <Calls refused={data} isFiltered={code !== null} onTest={onTest} />}
      </Loaded>
    </Stack>
  );
}

/** Reasons that a call of a known key can be refused for. */
const CODES: readonly RefusedCall['code'][] = [
  'DISABLED',
  'REVOKED',
  'EXPIRED',
  'OWNER_INACTIVE',
  'PROJECT_INACTIVE',
  'WRONG_ENVIRONMENT',
  'IP_NOT_ALLOWED',
  'MODEL_NOT_ALLOWED',
  'CHATBOT_NOT_ALLOWED',
  'INSUFFICIENT_SCOPE',
  'RATE_LIMITED',
  'BUDGET_EXCEEDED',
  'CONCURRENCY_LIMITED',
  'SUBJECT_REQUIRED',
  'TOO_MANY_SUBJECTS',
];

interface CallsProps {
  refused: Refused;
  isFiltered: boolean;
  onTest: (call: RefusedCall) => void;
}

function Calls({ refused: { data, meta }, isFiltered, onTest }: CallsProps) {
  if (data.length === 0 && meta.recording === 'off')
    return (
      <Empty title="Refused calls are not kept here">
        The server is set to keep none (<span className="mono">REFUSED_CALLS=off</span>). Their numbers are on the tab
        Usage.
      </Empty>
    );
  return (
    <>
      <Text size="sm" role="status">
        <Kept meta={meta} shown={data.length} />
      </Text>
      {data.length === 0 ? (
        <Empty title="No refused calls">
          {isFiltered ? 'None was refused for this reason' : 'No call with this key was refused'} in the last{' '}
          {meta.keptHours} hours.
        </Empty>
      ) : (
        <div className="bordered scroll-x" tabIndex={0} role="region" aria-label="Refused calls">
          <Table verticalSpacing={6}>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>When</Table.Th>
                <Table.Th>Reason</Table.Th>
                <Table.Th visibleFrom="sm">Address</Table.Th>
                <Table.Th visibleFrom="md">For</Table.Th>
                <Table.Th visibleFrom="lg">Asked by</Table.Th>
                <Table.Th visibleFrom="md">Request</Table.Th>
                <HiddenHead label="Test" />
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {data.map((call) => (
                <Call key={call.id} call={call} onTest={() => onTest(call)} />
              ))}
            </Table.Tbody>
          </Table>
        </div>
      )}
    </>
  );
}

/** How many there were, and how many of them are here. */
function Kept({ meta, shown }: { meta: Refused['meta']; shown: number }) {
  const { counted, kept, keptHours, recording } = meta;
  const missing = counted - kept;
  return (
    <>
      <b>{count(Math.max(counted, shown))}</b> refused {plural(Math.max(counted, shown), 'call')} in the last{' '}
      {keptHours} hours
      {missing > 0 ? (
        <>
          , of which <b>{count(kept)}</b> {plural(kept, 'is', 'are')} kept: at most 20 of a minute, and the last 100.
        </>
      ) : (
        '.'
      )}
      {recording === 'masked' && ' Addresses are kept as networks; models, chatbots and scopes are not kept.'}
      {recording === 'off' && ' From now on none is kept.'}
    </>
  );
}

function Call({ call, onTest }: { call: RefusedCall; onTest: () => void }) {
  return (
    <Table.Tr>
      <Table.Td>
        <Instant at={call.at} seconds wraps />
      </Table.Td>
      <Table.Td>
        <Text size="sm" fw={600} title={call.code}>
          {verdictInWords(call.code)}
        </Text>
        {call.detail && (
          <Text size="xs" c="dimmed" className="breakable">
            {call.detail}
          </Text>
        )}
        <Text size="xs" hiddenFrom="sm" className="breakable">
          {[call.ip, call.model].filter(Boolean).join(' · ')}
        </Text>
      </Table.Td>
      <Table.Td visibleFrom="sm" className="breakable">
        {call.ip === null ? <None text="not given" /> : <span className="mono">{call.ip}</span>}
      </Table.Td>
      <Table.Td visibleFrom="md" className="breakable">
        <AskedFor call={call} />
      </Table.Td>
      <Table.Td visibleFrom="lg">
        <AskedBy call={call} />
      </Table.Td>
      <Table.Td visibleFrom="md">
        <RequestIds call={call} />
      </Table.Td>
      <Table.Td ta="right">
        <Button
          size="compact-xs"
          variant="default"
          onClick={onTest}
          aria-label={`Test the call of ${localWithSeconds(call.at)} again`}
        >
          Test
        </Button>
      </Table.Td>
    </Table.Tr>
  );
}

/** What the call asked for, a line for each. */
function AskedFor({
  call: { model, chatbot, scopes, scopesLeftOut, environment, cost, reserveCents },
}: {
  call: RefusedCall;
}) {
  const lines = [
    ['model', model],
    ['chatbot', chatbot],
    [
      'scopes',
      scopes.length === 0 ? null : `${scopes.join(' ')}${scopesLeftOut > 0 ? ` and ${scopesLeftOut} more` : ''}`,
    ],
    ['environment', environment],
    ['requests', cost === null || cost === 1 ? null : String(cost)],
    ['reserves', reserveCents === null ? null : money(reserveCents)],
  ].filter(([, value]) => value !== null);
  if (lines.length === 0) return <None text="nothing named" />;
  return lines.map(([term, value]) => (
    <Text size="sm" key={term}>
      <Text span size="xs" c="dimmed">
        {term}
      </Text>{' '}
      {value}
    </Text>
  ));
}

function AskedBy({ call: { askedBy, via } }: { call: RefusedCall }) {
  return (
    <>
      {askedBy && (
        <Text size="sm">
          {askedBy.kind === 'key' && askedBy.name !== null ? (
            <Link className="text-link" to="/keys/$keyId" params={{ keyId: askedBy.id }} search={{ tab: undefined }}>
              {askedBy.name}
            </Link>
          ) : (
            (askedBy.name ?? 'deleted')
          )}
        </Text>
      )}
      <Text size="xs" c="dimmed">
        {VIA[via]}
      </Text>
    </>
  );
}

/** The service's own id where it gave one, else ours. */
function RequestIds({ call: { requestId, clientRequestId } }: { call: RefusedCall }) {
  const id = clientRequestId ?? requestId;
  if (id === null) return <None text="none" />;
  return (
    <Group gap={2} wrap="nowrap">
      <span className="mono" title={[clientRequestId, requestId].filter(Boolean).join(', ours: ')}>
        {id.length > 14 ? `${id.slice(0, 8)}…` : id}
      </span>
      <Copy value={id} label={`Copy the request id ${id}`} />
    </Group>
  );
}

function None({ text }: { text: string }) {
  return (
    <Text span size="sm" c="dimmed">
      {text}
    </Text>
  );
}
