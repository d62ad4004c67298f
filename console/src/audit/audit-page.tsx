import { Alert, Button, Group } from '@mantine/core';
import { useSearch } from '@tanstack/react-router';
import { api, dataOf, type Schemas } from '../api/client';
import { useSession } from '../session/session';
import { useAct } from '../ui/act';
import { count } from '../ui/format';
import { NoPermission, Page } from '../ui/states';
import { Download } from '../ui/values';
import { AuditFilters } from './audit-filters';
import { type AuditFilter, AuditTable } from './audit-table';

/** What was changed, read or refused, and by whom; and the proof that the record is unaltered. */
export function AuditPage() {
  const { can } = useSession();
  const { reads, ...search } = useSearch({ from: '/shell/audit' });
  if (!can('platform:audit:read')) return <NoPermission permission="platform:audit:read" />;
  // Reads are most of the trail, those of this page included: they are shown when asked for.
  const filter: AuditFilter = reads ? search : { ...search, isRead: false };
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
      <AuditFilters search={{ ...search, reads }} />
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
