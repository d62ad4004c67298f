import { Button, Select, Stack, Table, Text } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { LIMIT_UNITS, type LimitUnit } from '../../../packages/contract/src/limit';
import { type Schemas, api, dataOf } from '../api/client';
import { useSession } from '../session/session';
import { count, money, sentence } from '../ui/format';
import { Icon } from '../ui/icons';
import { Pages } from '../ui/pages';
import { Busy, Empty, Loaded, NoPermission, Page } from '../ui/states';
import { BudgetShareBar, Download } from '../ui/values';
import { UNITS, amountText } from './units';

const SIZE = 25;
const SHARES = ['50', '80', '95', '100'];

/** Every limit, with how much of its fullest account is used. */
export function LimitsPage() {
  const { can } = useSession();
  const { page = 1, unit, usedAbove } = useSearch({ from: '/shell/limits' });
  const navigate = useNavigate();
  const mayRead = can('platform:limits:read');
  const limits = useQuery({
    queryKey: ['limits', 'list', page, unit, usedAbove],
    enabled: mayRead,
    placeholderData: keepPreviousData,
    queryFn: () =>
      dataOf(
        api.GET('/api/v1/limits', {
          params: {
            query: { page, size: SIZE, unit, usedAbove: usedAbove === undefined ? undefined : Number(usedAbove) },
          },
        }),
      ),
  });
  if (!mayRead) return <NoPermission permission="platform:limits:read" />;
  const show = (next: { page?: number; unit?: LimitUnit; usedAbove?: string }) =>
    void navigate({ to: '/limits', search: next });
  return (
    <Page
      title="Limits"
      lead="What keys may spend or use together, or each of them."
      actions={
        <>
          <Download href={exportOf({ unit, usedAbove })}>Export CSV</Download>
          <NewLimitButton />
        </>
      }
    >
      <div className="filters filters-loose">
        <Select
          size="xs"
          aria-label="What is bounded"
          placeholder="Any unit"
          clearable
          clearButtonProps={{ 'aria-label': 'Any unit' }}
          data={LIMIT_UNITS.map((one) => ({ value: one, label: UNITS[one] }))}
          value={unit ?? null}
          onChange={(value) => show({ unit: (value ?? undefined) as LimitUnit | undefined, usedAbove })}
        />
        <Select
          size="xs"
          aria-label="Used"
          placeholder="Any use"
          clearable
          clearButtonProps={{ 'aria-label': 'Any use' }}
          data={SHARES.map((share) => ({ value: share, label: `More than ${share} % used` }))}
          value={usedAbove ?? null}
          onChange={(value) => show({ unit, usedAbove: value ?? undefined })}
        />
      </div>
      <Loaded query={limits} rows={6}>
        {({ data, meta }) =>
          data.length === 0 ? (
            <NoLimits isFiltered={usedAbove !== undefined || unit !== undefined} />
          ) : (
            <Busy isBusy={limits.isPlaceholderData}>
              <Stack gap="xs">
                <LimitTable limits={data} />
                <Pages meta={meta} size={SIZE} onPage={(next) => show({ page: next, unit, usedAbove })} />
              </Stack>
            </Busy>
          )
        }
      </Loaded>
    </Page>
  );
}

/** All limits of the list, on all its pages. */
function exportOf(filters: { unit: LimitUnit | undefined; usedAbove: string | undefined }): string {
  const given = Object.entries(filters).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return `/api/v1/limits/export?${new URLSearchParams(given).toString()}`;
}

function NewLimitButton() {
  const { can } = useSession();
  if (!can('platform:limits:create')) return null;
  return (
    <Button
      size="xs"
      leftSection={<Icon name="plus" size={15} />}
      renderRoot={(props) => <Link {...props} to="/limits/new" />}
    >
      New limit
    </Button>
  );
}

function NoLimits({ isFiltered }: { isFiltered: boolean }) {
  if (isFiltered)
    return (
      <Empty title="No limit matches these filters">Choose another unit or use, or clear both to see all limits.</Empty>
    );
  return (
    <Empty title="No limits">
      A limit bounds what a project, an owner, a key or all keys may spend or use in a day, week or month or in total,
      and how many calls they have in flight.
    </Empty>
  );
}

function LimitTable({ limits }: { limits: readonly Schemas['LimitView'][] }) {
  return (
    <div className="bordered scroll-x" tabIndex={0} role="region" aria-label="Limits">
      <Table>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Limit</Table.Th>
            <Table.Th w={{ base: 130, sm: 220 }}>Used</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {limits.map((limit) => (
            <Table.Tr key={limit.id}>
              <Table.Td>
                <Link
                  className="plain-link"
                  style={{ fontWeight: 500 }}
                  to="/limits/$limitId"
                  params={{ limitId: limit.id }}
                >
                  {limit.name}
                </Link>
                <Text size="xs" c="dimmed" className="breakable">
                  {sentence(limit.sentence, limit.sentenceParts)}
                </Text>
              </Table.Td>
              <Table.Td>
                <Fullest unit={limit.unit} account={limit.fullest} />
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </div>
  );
}

function Fullest({ unit, account }: { unit: LimitUnit; account: Schemas['LimitView']['fullest'] }) {
  if (account === null) {
    return (
      <Text size="sm" c="dimmed">
        nothing yet
      </Text>
    );
  }
  const { member, used, amount, usedPercent } = account;
  const usedText = unit === 'cents' ? money(used) : count(used);
  return (
    <div>
      <Text span size="sm">
        {usedText} of {amountText(unit, amount)}
      </Text>
      <BudgetShareBar percent={usedPercent} />
      {member !== null && (
        <Text size="xs" c="dimmed" className="breakable">
          most: {member.name ?? member.id}
        </Text>
      )}
    </div>
  );
}
