import { Button, Popover, Select, Stack, Switch, TextInput } from '@mantine/core';
import { useDebouncedCallback } from '@mantine/hooks';
import { useNavigate } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { local, toInstant, toLocalInput } from '../ui/format';
import { ACTIONS } from '../ui/words';
import { ActorPicker } from './actor-picker';
import type { AuditFilter } from './audit-table';

const TYPES = [
  { value: 'api-key', label: 'keys' },
  { value: 'user', label: 'users' },
  { value: 'role', label: 'roles' },
  { value: 'limit', label: 'limits' },
  { value: 'project', label: 'projects' },
  { value: 'usage', label: 'usage' },
  { value: 'audit-event', label: 'audit trail' },
  { value: 'permission', label: 'permissions' },
  { value: 'session', label: 'sessions' },
  { value: 'system', label: 'replicas' },
];

/** The filters as the address has them. */
export type AuditSearch = Omit<AuditFilter, 'isRead'> & { reads?: true };

/** Actions that the reads hold, and the changes do not. */
const isRead = (action: string | undefined) => /:(read|explain|export|verify)$/.test(action ?? '');

/** The bar above the trail: applied as chosen, and kept in the address. */
export function AuditFilters({ search }: { search: AuditSearch }) {
  const navigate = useNavigate();
  const change = (next: Partial<AuditSearch>) => {
    const all = { ...search, ...(isRead(next.action) ? { reads: true as const } : {}), ...next };
    const given = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined && value !== ''));
    void navigate({ to: '/audit', search: given as never });
  };
  const known =
    ACTIONS.some(({ value }) => value === search.action) || !search.action
      ? ACTIONS
      : [...ACTIONS, { value: search.action, label: search.action }];
  const isFiltered = Object.values(search).some((value) => value !== undefined);
  return (
    <Stack gap="xs">
      <div className="filters" role="search" aria-label="Filter events">
        <Select
          size="xs"
          aria-label="Action"
          placeholder="Any action"
          clearable
          searchable
          data={known}
          value={search.action ?? null}
          onChange={(value) => change({ action: value ?? undefined })}
          clearButtonProps={{ 'aria-label': 'Any action' }}
        />
        <Select
          size="xs"
          aria-label="On"
          placeholder="On anything"
          clearable
          data={TYPES}
          value={search.resourceType ?? null}
          onChange={(value) => change({ resourceType: value ?? undefined })}
          clearButtonProps={{ 'aria-label': 'On anything' }}
        />
        <ResourceId value={search.resourceId ?? ''} onChange={(resourceId) => change({ resourceId })} />
        <ActorPicker value={search.actorId ?? null} onChange={(actorId) => change({ actorId: actorId ?? undefined })} />
        <Select
          size="xs"
          aria-label="Outcome"
          placeholder="Any outcome"
          clearable
          data={[
            { value: 'success', label: 'done' },
            { value: 'refused', label: 'refused' },
          ]}
          value={search.outcome ?? null}
          onChange={(value) => change({ outcome: (value ?? undefined) as AuditFilter['outcome'] })}
          clearButtonProps={{ 'aria-label': 'Any outcome' }}
        />
        <Times from={search.from} to={search.to} onChange={change} />
        {isFiltered && (
          <Button
            size="xs"
            variant="subtle"
            px={6}
            justify="flex-start"
            onClick={() => void navigate({ to: '/audit', search: {} as never })}
          >
            Clear the filters
          </Button>
        )}
      </div>
      <Switch
        size="xs"
        label="Show reads"
        checked={search.reads === true}
        onChange={(event) => change({ reads: event.currentTarget.checked ? true : undefined })}
      />
    </Stack>
  );
}

/** Applied after a pause in typing. */
function ResourceId({ value, onChange }: { value: string; onChange: (text: string | undefined) => void }) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  const send = useDebouncedCallback((next: string) => onChange(next.trim() === '' ? undefined : next.trim()), 400);
  return (
    <TextInput
      size="xs"
      aria-label="Id or name of it"
      placeholder="Its id or name"
      maxLength={100}
      value={text}
      onChange={(event) => {
        setText(event.currentTarget.value);
        send(event.currentTarget.value);
      }}
    />
  );
}

interface TimesProps {
  from: string | undefined;
  to: string | undefined;
  onChange: (next: { from?: string; to?: string }) => void;
}

/** Both ends of a stretch of time, behind one button: most looks at the trail need neither. */
function Times({ from, to, onChange }: TimesProps) {
  const field = (name: 'from' | 'to', label: string, value: string | undefined) => (
    <TextInput
      size="xs"
      type="datetime-local"
      label={label}
      value={value ? toLocalInput(value) : ''}
      onChange={(event) => {
        const text = event.currentTarget.value;
        onChange({ [name]: text === '' ? undefined : toInstant(text) });
      }}
    />
  );
  const said = [from && `from ${local(from)}`, to && `before ${local(to)}`].filter(Boolean).join(' ');
  return (
    <Popover position="bottom-start" trapFocus returnFocus>
      <Popover.Target>
        <Button size="xs" variant="default" fw={400} c={said === '' ? 'dimmed' : undefined} justify="flex-start">
          {said === '' ? 'Any time' : said}
        </Button>
      </Popover.Target>
      <Popover.Dropdown>
        <Stack gap="xs">
          {field('from', 'From', from)}
          {field('to', 'Before', to)}
        </Stack>
      </Popover.Dropdown>
    </Popover>
  );
}
