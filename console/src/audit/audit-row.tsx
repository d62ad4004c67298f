import { ActionIcon, Stack, Table, Text } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { type SaidLimit, limitSentenceParts } from '../../../packages/contract/src/limit';
import type { AuditEvent } from '../api/client';
import { useSession } from '../session/session';
import { inWords } from '../ui/format';
import { Icon } from '../ui/icons';
import { Facts, Instant } from '../ui/values';
import { actionInWords } from '../ui/words';
import { useName, useSaid } from './names';

interface RowProps {
  event: AuditEvent;
  /** The list is about one thing: no need to say in each row which. */
  isOfOne: boolean;
  isOpen: boolean;
  onToggle: () => void;
}

/** One event: what was done to what, by whom and when; opened, what changed field by field. */
export function AuditRow({ event, isOfOne, isOpen, onToggle }: RowProps) {
  const { user: me } = useSession();
  return (
    <>
      <Table.Tr>
        <Table.Td>
          <ActionIcon
            variant="subtle"
            color="gray"
            size="sm"
            aria-expanded={isOpen}
            aria-label={`Details of event ${event.seq}`}
            onClick={onToggle}
          >
            <Icon name={isOpen ? 'minus' : 'plus'} size={14} />
          </ActionIcon>
        </Table.Td>
        <Table.Td miw={116}>
          <Instant at={event.at} wraps seconds />
        </Table.Td>
        <Table.Td title={event.action}>
          {actionInWords(event.action, event.resourceId === null)}
          <Text size="xs" c="dimmed" component="div" hiddenFrom="sm" className="in-text">
            {!isOfOne && event.resourceId !== null && (
              <>
                <Resource event={event} />{' '}
              </>
            )}
            by {event.actor.id === me.id ? 'you' : <Actor event={event} />}
            {event.outcome === 'refused' && (
              <Text span size="xs" c="var(--mantine-color-error)">
                {' '}
                · refused
              </Text>
            )}
          </Text>
          <Changed event={event} />
        </Table.Td>
        <Table.Td visibleFrom="sm">
          <span
            className="status"
            style={{ ['--status-color' as string]: event.outcome === 'success' ? '#2f9e44' : '#e03131' }}
          >
            {event.outcome === 'success' ? 'done' : 'refused'}
          </span>
        </Table.Td>
        {!isOfOne && (
          <Table.Td visibleFrom="sm" maw={240} className="breakable">
            <Resource event={event} />
          </Table.Td>
        )}
        <Table.Td visibleFrom="sm" maw={200} className="breakable">
          <Actor event={event} />
        </Table.Td>
        <Table.Td visibleFrom="lg" className="mono">
          {event.ip ?? ''}
        </Table.Td>
        <Table.Td visibleFrom="lg" ta="right" className="mono nowrap">
          {event.chain === 'reads' && 'read '}
          {event.seq}
        </Table.Td>
      </Table.Tr>
      {isOpen && (
        <Table.Tr>
          <Table.Td colSpan={8}>
            <Details event={event} />
          </Table.Td>
        </Table.Tr>
      )}
    </>
  );
}

/** As many fields as a row has room for. */
const SHOWN_CHANGES = 2;
const SHOWN_CHARACTERS = 40;

/** What a change changed, in a line; what is new has no before. */
function Changed({ event }: { event: AuditEvent }) {
  const said = useSaid();
  const changes = openedChanges(event);
  const shown = changes.filter(({ before }) => before !== null && before !== undefined).slice(0, SHOWN_CHANGES);
  if (shown.length === 0) return null;
  const short = (value: unknown, field: string) => {
    const text = value === null || value === undefined ? 'none' : said(value, field) || '(empty)';
    return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
  };
  return (
    <Text size="xs" c="dimmed" component="div" className="breakable">
      {shown.map(({ field, before, after }) => (
        <div key={field}>
          <span className="mono">{field}</span>: from {short(before, field)} to {short(after, field)}
        </div>
      ))}
      {changes.length > shown.length && shown.length === SHOWN_CHANGES && (
        <div>and {changes.length - shown.length} more</div>
      )}
    </Text>
  );
}

const shortId = (id: string) => (id.length === 36 ? `…${id.slice(-12)}` : id);

const TYPES: Readonly<Record<string, string>> = { 'api-key': 'key', 'audit-event': 'audit trail' };
const MANY: Readonly<Record<string, string>> = {
  'api-key': 'keys',
  user: 'users',
  role: 'roles',
  limit: 'limits',
  project: 'projects',
  permission: 'permissions',
  'audit-event': 'audit trail',
  system: 'replicas',
  session: 'sessions',
};

function Resource({ event: { resourceType, resourceId } }: { event: AuditEvent }) {
  if (resourceId === null)
    return (
      <Text span size="sm" c="dimmed">
        {MANY[resourceType] ?? resourceType}
      </Text>
    );
  if (resourceType === 'api-key') return <KeyName id={resourceId} />;
  if (resourceType === 'user') return <UserName id={resourceId} />;
  const text = `${TYPES[resourceType] ?? resourceType} ${shortId(resourceId)}`;
  if (resourceType === 'role')
    return (
      <Link className="plain-link" to="/roles/$name" params={{ name: resourceId }}>
        {text}
      </Link>
    );
  if (resourceType === 'limit') return <LimitName id={resourceId} />;
  if (resourceType === 'project') return <ProjectName id={resourceId} />;
  return <span title={resourceId}>{text}</span>;
}

/** A sign-in that was let in is by the user it signed in: its request came without a session. */
function Actor({ event: { actor, action, outcome, resourceId } }: { event: AuditEvent }) {
  if (actor.id === null) {
    if (action === 'auth:login' && outcome === 'success' && resourceId !== null) return <UserName id={resourceId} />;
    return <>{actor.kind === 'system' ? 'the server' : 'not signed in'}</>;
  }
  return actor.kind === 'key' ? <KeyName id={actor.id} /> : <UserName id={actor.id} />;
}

function KeyName({ id }: { id: string }) {
  const name = useName(id);
  return (
    <Link className="plain-link" to="/keys/$keyId" params={{ keyId: id }} search={{ tab: undefined }} title={id}>
      {name === undefined ? `key ${shortId(id)}` : `key ${name}`}
    </Link>
  );
}

function UserName({ id }: { id: string }) {
  const name = useName(id);
  return (
    <Link className="plain-link" to="/people/$userId" params={{ userId: id }} title={id}>
      {name ?? `user ${shortId(id)}`}
    </Link>
  );
}

function LimitName({ id }: { id: string }) {
  const name = useName(id) ?? shortId(id);
  return (
    <Link className="plain-link" to="/limits/$limitId" params={{ limitId: id }} title={id}>
      limit {name}
    </Link>
  );
}

function ProjectName({ id }: { id: string }) {
  const name = useName(id) ?? shortId(id);
  return (
    <Link
      className="plain-link"
      to="/projects/$projectId"
      params={{ projectId: id }}
      search={{ tab: undefined }}
      title={id}
    >
      project {name}
    </Link>
  );
}

/** The limit that was made or deleted, as one sentence. */
function LimitSaid({ event: { resourceType, changes } }: { event: AuditEvent }) {
  const said = Object.fromEntries(changes.map(({ field, before, after }) => [field, after ?? before]));
  const name = useName(String(said['targetId']));
  if (resourceType !== 'limit' || said['targetKind'] === undefined) return null;
  const target = { kind: said['targetKind'], name: name ?? said['targetId'] ?? null };
  const amount = said['amount'] ?? said['amountCents'];
  const limit = {
    ...{ ...said, amount, target },
    ...{ per: said['per'] ?? null, each: said['each'] ?? null, models: said['models'] ?? [] },
  } as unknown as SaidLimit;
  return (
    <Text size="sm" className="breakable">
      {inWords(limitSentenceParts(limit))}
    </Text>
  );
}

function Details({ event }: { event: AuditEvent }) {
  const said = useSaid();
  const details = Object.entries(event.details).map(([name, value]) => [name, opened(event, value)] as const);
  return (
    <Stack gap="sm" py={4}>
      <LimitSaid event={event} />
      {event.changes.length > 0 && (
        <Table withRowBorders={false} highlightOnHover={false} verticalSpacing={3} aria-label="What changed">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Field</Table.Th>
              <Table.Th>Before</Table.Th>
              <Table.Th>After</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {openedChanges(event).map(({ field, before, after }) => (
              <Table.Tr key={field}>
                <Table.Td className="mono nowrap">{field}</Table.Td>
                <Table.Td>
                  <Value field={field} value={before} className="diff-before" />
                </Table.Td>
                <Table.Td>
                  <Value field={field} value={after} className="diff-after" />
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      )}
      <Facts
        rows={[
          ...details.map(([name, value]) => [name, said(value, name)] as const),
          [
            'Request',
            <span key="request" className="mono">
              {event.requestId ?? 'none'}
            </span>,
          ],
          [
            'Chain hash',
            <span key="hash" className="mono breakable">
              {event.hash}
            </span>,
          ],
        ]}
      />
    </Stack>
  );
}

/** The changes of an event, with what they say of a person where that is still there. */
function openedChanges(event: AuditEvent) {
  return event.changes.map(({ field, before, after }) => ({
    field,
    before: opened(event, before),
    after: opened(event, after),
  }));
}

/** What a commitment stands for. Without what opens it the person was erased. */
function opened({ personal }: AuditEvent, value: unknown): unknown {
  const { commitment } = (value ?? {}) as { commitment?: unknown };
  if (personal === undefined || typeof commitment !== 'string') return value;
  return personal[commitment]?.value ?? 'erased person';
}

function Value({ field, value, className }: { field: string; value: unknown; className: string }) {
  const said = useSaid();
  if (value === null || value === undefined)
    return (
      <Text span size="sm" c="dimmed">
        none
      </Text>
    );
  const text = said(value, field);
  return (
    <span className={`${className} mono breakable`} title={typeof value === 'string' ? value : JSON.stringify(value)}>
      {text === '' ? '(empty)' : text}
    </span>
  );
}
