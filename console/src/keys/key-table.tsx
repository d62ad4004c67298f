import { ActionIcon, Badge, Checkbox, Table, Text } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import type { ApiKey } from '../api/client';
import { short } from '../ui/format';
import { Icon } from '../ui/icons';
import { BudgetShare, HiddenHead, Instant, Marks, StatusMark } from '../ui/values';
import { plural } from '../ui/words';
import { type KeyAction, KeyMenu } from './key-actions';
import { KeyActionDialog } from './key-dialogs';
import type { KeySearch } from './key-search';

/** A key of a list: what its budget's period has cost comes with it. */
export type ListedKey = ApiKey & { budgetSpentCents?: number | null };

interface TableProps {
  keys: readonly ListedKey[];
  sort?: KeySearch['sort'];
  onSort?: (sort: KeySearch['sort']) => void;
  selected?: ReadonlySet<string>;
  onSelect?: (ids: ReadonlySet<string>) => void;
  showOwner?: boolean;
  /** What the table is called, where a page has several. */
  label?: string;
}

/** Keys in rows, with the way to each. */
export function KeyTable({
  keys,
  sort = '-createdAt',
  onSort,
  selected,
  onSelect: select,
  showOwner = true,
  label = 'Keys',
}: TableProps) {
  // Where nothing can be done to any of them there is nothing to select them for.
  const onSelect = keys.some(({ allowedActs }) => allowedActs?.length > 0) ? select : undefined;
  const [act, setAct] = useState<{ action: KeyAction; apiKey: ApiKey } | null>(null);
  const toggle = (ids: readonly string[], on: boolean) => {
    const next = new Set(selected);
    for (const id of ids)
      if (on) next.add(id);
      else next.delete(id);
    onSelect?.(next);
  };
  return (
    <div className="bordered scroll-x" tabIndex={0} role="region" aria-label={label}>
      <Table>
        <Table.Thead>
          <Table.Tr>
            {onSelect && (
              <Table.Th w={36}>
                <SelectAll keys={keys} selected={selected} onToggle={toggle} />
              </Table.Th>
            )}
            <Head label="Name" field="name" sort={sort} onSort={onSort} />
            <Head label="Status" />
            {showOwner && <Head label="Owner" visibleFrom="sm" />}
            <Head label="Scopes" visibleFrom="xl" />
            <Head label="Budget" visibleFrom="sm" />
            <Head label="Requests" visibleFrom="xl" ta="right" />
            <Head label="Last used" field="lastUsedAt" sort={sort} onSort={onSort} visibleFrom="sm" />
            <Head label="Expires" field="expiresAt" sort={sort} onSort={onSort} visibleFrom="lg" />
            <Head label="Created" field="createdAt" sort={sort} onSort={onSort} visibleFrom="xl" />
            <HiddenHead w={44} label="Actions" className="stuck" />
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {keys.map((key) => (
            <Row
              key={key.id}
              apiKey={key}
              isSelected={selected?.has(key.id) ?? false}
              onToggle={onSelect && ((on) => toggle([key.id], on))}
              showOwner={showOwner}
              onAction={(action) => setAct({ action, apiKey: key })}
            />
          ))}
        </Table.Tbody>
      </Table>
      {act && (
        <KeyActionDialog
          key={`${act.action} ${act.apiKey.id}`}
          action={act.action}
          apiKey={act.apiKey}
          onClose={() => setAct(null)}
        />
      )}
    </div>
  );
}

interface SelectAllProps {
  keys: readonly ApiKey[];
  selected: ReadonlySet<string> | undefined;
  onToggle: (ids: readonly string[], on: boolean) => void;
}

function SelectAll({ keys, selected, onToggle }: SelectAllProps) {
  const all = keys.length > 0 && keys.every(({ id }) => selected?.has(id));
  const some = keys.some(({ id }) => selected?.has(id));
  return (
    <Checkbox
      size="xs"
      aria-label="Select all keys on this page"
      checked={all}
      indeterminate={some && !all}
      onChange={(event) =>
        onToggle(
          keys.map(({ id }) => id),
          event.currentTarget.checked,
        )
      }
    />
  );
}

interface HeadProps {
  label: string;
  field?: string;
  sort?: KeySearch['sort'];
  onSort?: (sort: KeySearch['sort']) => void;
  visibleFrom?: string;
  ta?: 'right';
}

/** The head of a column; with `field` and `onSort` a button that sorts by it. */
function Head({ label, field, sort, onSort, ...props }: HeadProps) {
  if (!onSort || !field) return <Table.Th {...props}>{label}</Table.Th>;
  const direction = sort === field ? 'ascending' : sort === `-${field}` ? 'descending' : 'none';
  return (
    <Table.Th aria-sort={direction} {...props}>
      <button
        type="button"
        className="sort"
        onClick={() => onSort((direction === 'descending' ? field : `-${field}`) as KeySearch['sort'])}
      >
        {label} <span aria-hidden="true">{{ ascending: '↑', descending: '↓', none: '' }[direction]}</span>
      </button>
    </Table.Th>
  );
}

interface RowProps {
  apiKey: ListedKey;
  isSelected: boolean;
  onToggle?: (on: boolean) => void;
  showOwner: boolean;
  onAction: (action: KeyAction) => void;
}

function Row({ apiKey, isSelected, onToggle, showOwner, onAction }: RowProps) {
  const { name, keyPrefix, status, ownerName, ownerIsActive, scopes, totalRequests, handOver } = apiKey;
  return (
    <Table.Tr className={isSelected ? 'selected' : undefined}>
      {onToggle && (
        <Table.Td>
          <Checkbox
            size="xs"
            aria-label={`Select ${name}`}
            checked={isSelected}
            onChange={(event) => onToggle(event.currentTarget.checked)}
          />
        </Table.Td>
      )}
      <Table.Td maw={280} miw={150}>
        <Link
          to="/keys/$keyId"
          params={{ keyId: apiKey.id }}
          search={{ tab: undefined }}
          className="plain-link breakable"
          style={{ fontWeight: 500 }}
        >
          {name}
        </Link>
        <Text size="xs" c="dimmed" className="mono nowrap">
          {keyPrefix}
        </Text>
        <div className="only-narrow">
          {showOwner && (
            <Text size="xs" c="dimmed" className="breakable">
              {ownerName}
            </Text>
          )}
          <BudgetShare {...apiKey} />
        </div>
      </Table.Td>
      <Table.Td>
        <StatusMark status={status} />
        {apiKey.expiresAt !== null && status !== 'revoked' && (
          <Text size="xs" c="dimmed" hiddenFrom="lg">
            {status === 'expired' ? 'ended' : 'ends'} <Instant at={apiKey.expiresAt} relative wraps />
          </Text>
        )}
        {handOver !== null && (
          <Badge size="sm" variant="light" color="indigo" mt={4} display="block" w="fit-content" tt="none">
            secret to draw
          </Badge>
        )}
      </Table.Td>
      {showOwner && (
        <Table.Td visibleFrom="sm" miw={130} maw={160} className="breakable">
          {ownerName}
          {!ownerIsActive && (
            <Text size="xs" c="dimmed">
              inactive
            </Text>
          )}
        </Table.Td>
      )}
      <Table.Td visibleFrom="xl" miw={120} maw={220}>
        <Marks values={scopes} none="none" limit={3} />
      </Table.Td>
      <Table.Td visibleFrom="sm" maw={190}>
        <BudgetShare {...apiKey} />
      </Table.Td>
      <Table.Td visibleFrom="xl" ta="right" title={plural(totalRequests, 'request')}>
        {short(totalRequests)}
      </Table.Td>
      <Table.Td visibleFrom="sm">
        <Instant at={apiKey.lastUsedAt} relative />
      </Table.Td>
      <Table.Td visibleFrom="lg">
        <Instant at={apiKey.expiresAt} relative />
      </Table.Td>
      <Table.Td visibleFrom="xl">
        <Instant at={apiKey.createdAt} relative />
      </Table.Td>
      <Table.Td pl={0} className="stuck">
        <KeyMenu apiKey={apiKey} withEdit onAction={onAction}>
          <ActionIcon variant="subtle" color="gray" display="flex" aria-label={`Actions on ${name}`}>
            <Icon name="more" size={16} />
          </ActionIcon>
        </KeyMenu>
      </Table.Td>
    </Table.Tr>
  );
}
