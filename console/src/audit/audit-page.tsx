import { Alert, Button, Group, Select, Switch, TextInput } from '@mantine/core';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { type FormEvent, useEffect, useState } from 'react';
import { api, dataOf, type Schemas } from '../api/client';
import { useSession } from '../session/session';
import { useAct } from '../ui/act';
import { count, toInstant, toLocalInput } from '../ui/format';
import { NoPermission, Page } from '../ui/states';
import { Download } from '../ui/values';
import { ACTIONS } from '../ui/words';
import { ActorPicker } from './actor-picker';
import { type AuditFilter, AuditTable } from './audit-table';

const TYPES = [
  { value: 'api-key', label: 'keys' },
  { value: 'user', label: 'users' },
  { value: 'role', label: 'roles' },
  { value: 'usage', label: 'usage' },
  { value: 'audit-event', label: 'audit trail' },
  { value: 'permission', label: 'permissions' },
  { value: 'session', label: 'sessions' },
  { value: 'system', label: 'replicas' },
];

/** Who changed, read or was refused what; and the proof that nobody altered the record. */
export function AuditPage() {
  const { can } = useSession();
  const filter: AuditFilter = useSearch({ from: '/shell/audit' });
  if (!can('platform:audit:read')) return <NoPermission permission="platform:audit:read" />;
  const parameters = new URLSearchParams(
    Object.entries(filter).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])),
  );
  return (
    <Page
      title="Audit"
      lead="Every change, read and refusal, in one chain of hashes."
      actions={
        can('platform:audit:export') && (
          <Download href={`/api/v1/audit-events/export?${parameters.toString()}`}>Export NDJSON</Download>
        )
      }
    >
      {can('platform:audit:export') && <Chain />}
      <Filter search={filter} />
      <AuditTable filter={filter} />
    </Page>
  );
}

function Chain() {
  const verify = useAct({ run: () => dataOf(api.POST('/api/v1/audit-events/verify')) });
  const report = verify.data;
  return (
    <Group gap="sm" align="center">
      <Button size="xs" variant="default" onClick={() => verify.go()} loading={verify.isPending}>
        Verify the chain
      </Button>
      {report && (
        <Alert color={report.ok ? 'teal' : 'red'} variant="outline" p={6} role="status">
          {report.ok
            ? `Unaltered: ${count(report.checked)} entries and ${count(report.checkedReads)} reads checked.`
            : broken(report)}
        </Alert>
      )}
    </Group>
  );
}

function broken({ firstBroken, checked, checkedReads }: Schemas['ChainReportView']): string {
  const isRead = firstBroken?.chain === 'reads';
  const place = `${isRead ? 'read' : 'entry'} ${firstBroken?.seq ?? '?'}: ${firstBroken?.reason ?? 'unknown'}`;
  return `Broken at ${place} ${count(isRead ? checkedReads : checked)} before it are sound.`;
}

function Filter({ search }: { search: AuditFilter }) {
  const navigate = useNavigate();
  const [draft, setDraft] = useState(search);
  const inUrl = JSON.stringify(search);
  useEffect(() => setDraft(JSON.parse(inUrl) as AuditFilter), [inUrl]);
  const apply = (next: AuditFilter) => {
    const given = Object.fromEntries(Object.entries(next).filter(([, value]) => value !== undefined && value !== ''));
    void navigate({ to: '/audit', search: given as never, replace: true });
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    apply(draft);
  };
  const set = (changes: Partial<AuditFilter>) => setDraft({ ...draft, ...changes });
  const at = (field: 'from' | 'to', label: string) => (
    <TextInput
      size="xs"
      type="datetime-local"
      label={label}
      value={draft[field] ? toLocalInput(draft[field]) : ''}
      onChange={(event) =>
        set({ [field]: event.currentTarget.value === '' ? undefined : toInstant(event.currentTarget.value) })
      }
    />
  );
  const known =
    ACTIONS.some(({ value }) => value === draft.action) || !draft.action
      ? ACTIONS
      : [...ACTIONS, { value: draft.action, label: draft.action }];
  const isFiltered = Object.values(search).some((value) => value !== undefined);
  return (
    <form onSubmit={submit} role="search" aria-label="Filter events">
      <div className="filters filters-loose">
        <Select
          size="xs"
          label="Action"
          placeholder="any"
          clearable
          searchable
          data={known}
          value={draft.action ?? null}
          onChange={(value) => apply({ ...draft, action: value ?? undefined })}
          clearButtonProps={{ 'aria-label': 'Any action' }}
        />
        <Select
          size="xs"
          label="On"
          placeholder="anything"
          clearable
          data={TYPES}
          value={draft.resourceType ?? null}
          onChange={(value) => apply({ ...draft, resourceType: value ?? undefined })}
          clearButtonProps={{ 'aria-label': 'Anything' }}
        />
        <TextInput
          size="xs"
          label="Id or name of it"
          maxLength={100}
          value={draft.resourceId ?? ''}
          onChange={(event) => set({ resourceId: event.currentTarget.value.trim() })}
        />
        <ActorPicker
          value={draft.actorId ?? null}
          onChange={(actorId) => apply({ ...draft, actorId: actorId ?? undefined })}
        />
        <Select
          size="xs"
          label="Outcome"
          placeholder="any"
          clearable
          data={[
            { value: 'success', label: 'done' },
            { value: 'refused', label: 'refused' },
          ]}
          value={draft.outcome ?? null}
          onChange={(value) => apply({ ...draft, outcome: (value ?? undefined) as AuditFilter['outcome'] })}
          clearButtonProps={{ 'aria-label': 'Any outcome' }}
        />
        {at('from', 'From')}
        {at('to', 'Before')}
        <Group gap={4} wrap="nowrap">
          <Button size="xs" type="submit" variant="default">
            Apply
          </Button>
          {isFiltered && (
            <Button size="xs" variant="subtle" onClick={() => apply({})}>
              Clear
            </Button>
          )}
        </Group>
      </div>
      <Switch
        size="xs"
        mt="xs"
        label="Without reads that were allowed"
        checked={search.isRead === false}
        onChange={(event) => apply({ ...draft, isRead: event.currentTarget.checked ? false : undefined })}
      />
    </form>
  );
}
