import { Alert, Button, Group, Select, TextInput } from '@mantine/core';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { type FormEvent, useEffect, useState } from 'react';
import { api, dataOf } from '../api/client';
import { useSession } from '../session/session';
import { useAct } from '../ui/act';
import { count, toInstant, toLocalInput } from '../ui/format';
import { NoPermission, Page } from '../ui/states';
import { Download } from '../ui/values';
import { type AuditFilter, AuditTable } from './audit-table';

const TYPES = ['api-key', 'user', 'role', 'usage', 'audit', 'system'];

/** Who changed, read or was refused what; and the proof that nobody altered the record. */
export function AuditPage() {
  const { can } = useSession();
  const filter = useSearch({ from: '/shell/audit' });
  if (!can('platform:audit:read')) return <NoPermission permission="platform:audit:read" />;
  const parameters = new URLSearchParams(Object.entries(filter).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
  return (
    <Page
      title="Audit"
      lead="Every change, read and refusal, in one chain of hashes."
      actions={can('platform:audit:export') && <Download href={`/api/v1/audit-events/export?${parameters.toString()}`}>Export NDJSON</Download>}
    >
      {can('platform:audit:export') && <Chain />}
      <Filter filter={filter} />
      <AuditTable filter={filter} />
    </Page>
  );
}

function Chain() {
  const verify = useAct({ run: () => dataOf(api.POST('/api/v1/audit-events/verify')) });
  const report = verify.data;
  return (
    <Group gap="sm" align="center">
      <Button size="xs" variant="default" onClick={() => verify.go()} loading={verify.isPending}>Verify the chain</Button>
      {report && (
        <Alert color={report.ok ? 'teal' : 'red'} variant="outline" p={6} role="status">
          {report.ok ? `Unaltered: ${count(report.checked)} entries checked, from the first on.` : `Broken at entry ${report.firstBroken?.seq ?? '?'}: ${report.firstBroken?.reason ?? 'unknown'} ${count(report.checked)} entries before it are sound.`}
        </Alert>
      )}
    </Group>
  );
}

function Filter({ filter }: { filter: AuditFilter }) {
  const navigate = useNavigate();
  const [draft, setDraft] = useState(filter);
  useEffect(() => setDraft(filter), [filter]);
  const apply = (next: AuditFilter) => {
    const given = Object.fromEntries(Object.entries(next).filter(([, value]) => value !== undefined && value !== ''));
    void navigate({ to: '/audit', search: given as never, replace: true });
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    apply(draft);
  };
  const set = (changes: Partial<AuditFilter>) => setDraft({ ...draft, ...changes });
  const isFiltered = Object.values(filter).some((value) => value !== undefined);
  return (
    <form onSubmit={submit} role="search" aria-label="Filter events">
      <Group gap="xs" align="flex-end">
        <TextInput size="xs" w={170} label="Action" placeholder="api-keys:revoke" value={draft.action ?? ''} onChange={(event) => set({ action: event.currentTarget.value })} />
        <Select size="xs" w={120} label="Type" placeholder="any" clearable data={TYPES} value={draft.resourceType ?? null} onChange={(value) => apply({ ...draft, resourceType: value ?? undefined })} clearButtonProps={{ 'aria-label': 'Any type' }} />
        <TextInput size="xs" w={170} label="Id or name of the thing" value={draft.resourceId ?? ''} onChange={(event) => set({ resourceId: event.currentTarget.value })} />
        <TextInput size="xs" w={170} label="Id of the actor" value={draft.actorId ?? ''} onChange={(event) => set({ actorId: event.currentTarget.value })} />
        <Select size="xs" w={110} label="Outcome" placeholder="any" clearable data={[{ value: 'success', label: 'done' }, { value: 'refused', label: 'refused' }]} value={draft.outcome ?? null} onChange={(value) => apply({ ...draft, outcome: (value ?? undefined) as AuditFilter['outcome'] })} clearButtonProps={{ 'aria-label': 'Any outcome' }} />
        <TextInput size="xs" type="datetime-local" label="From" value={draft.from ? toLocalInput(draft.from) : ''} onChange={(event) => set({ from: event.currentTarget.value === '' ? undefined : toInstant(event.currentTarget.value) })} />
        <TextInput size="xs" type="datetime-local" label="To" value={draft.to ? toLocalInput(draft.to) : ''} onChange={(event) => set({ to: event.currentTarget.value === '' ? undefined : toInstant(event.currentTarget.value) })} />
        <Button size="xs" type="submit" variant="default">Apply</Button>
        {isFiltered && <Button size="xs" variant="subtle" onClick={() => apply({})}>Clear</Button>}
      </Group>
    </form>
  );
}
