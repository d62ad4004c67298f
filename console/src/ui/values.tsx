import {
  ActionIcon,
  Badge,
  Button,
  CopyButton,
  Group,
  Progress,
  Table,
  Text,
  Tooltip,
  VisuallyHidden,
} from '@mantine/core';
import type { ReactNode } from 'react';
import type { ApiKey } from '../api/client';
import { fromNow, local, localWithSeconds, money, utc } from './format';
import { Icon } from './icons';

/** Local time, UTC on hover and focus; `relative` for how long ago. */
export function Instant({
  at,
  relative = false,
  none = 'never',
  wraps = false,
  seconds = false,
}: {
  at: string | null;
  relative?: boolean;
  /** To the second. */
  seconds?: boolean;
  none?: string;
  wraps?: boolean;
}) {
  if (at === null)
    return (
      <Text span size="sm" c="dimmed">
        {none}
      </Text>
    );
  return (
    <time
      dateTime={at}
      title={`${utc(at)} (${relative ? local(at) : fromNow(at)})`}
      className={wraps ? undefined : 'nowrap'}
    >
      {relative ? fromNow(at) : seconds ? localWithSeconds(at) : local(at)}
    </time>
  );
}

const STATUS_COLORS: Record<ApiKey['status'], string> = {
  active: '#2f9e44',
  pending: '#4c6ef5',
  inactive: '#868e96',
  expired: '#e67700',
  revoked: '#e03131',
};

/** A key's status: a word, and a colour for those who see it. */
export function StatusMark({ status }: { status: ApiKey['status'] }) {
  return (
    <span className="status" style={{ ['--status-color' as string]: STATUS_COLORS[status] }}>
      {status}
    </span>
  );
}

/** Whether a user or a role is active. */
export function ActiveMark({ isActive }: { isActive: boolean }) {
  return (
    <span
      className="status"
      style={{ ['--status-color' as string]: isActive ? STATUS_COLORS.active : STATUS_COLORS.revoked }}
    >
      {isActive ? 'active' : 'inactive'}
    </span>
  );
}

/** A short list as marks; `none` is what an empty one means. */
export function Marks({ values, none, limit = 50 }: { values: readonly string[]; none: string; limit?: number }) {
  if (values.length === 0)
    return (
      <Text span size="sm" c="dimmed">
        {none}
      </Text>
    );
  return (
    <Group gap={4} component="span">
      {values.slice(0, limit).map((value) => (
        <Badge key={value} variant="default" radius="sm" size="sm" tt="none" fw={600} maw="100%" title={value}>
          {value}
        </Badge>
      ))}
      {values.length > limit && (
        <Text span size="xs" c="dimmed" title={values.slice(limit).join(', ')}>
          +{values.length - limit}
        </Text>
      )}
    </Group>
  );
}

/** Copies; says so. */
export function Copy({ value, label }: { value: string; label: string }) {
  return (
    <CopyButton value={value} timeout={1500}>
      {({ copied, copy }) => (
        <Tooltip label={copied ? 'Copied' : label}>
          <ActionIcon
            variant="subtle"
            color={copied ? 'teal' : 'gray'}
            size="sm"
            onClick={copy}
            aria-label={copied ? 'Copied' : label}
          >
            <Icon name={copied ? 'check' : 'copy'} size={15} />
          </ActionIcon>
        </Tooltip>
      )}
    </CopyButton>
  );
}

/** Text to take away, with a button that copies it. */
export function Snippet({ text, label }: { text: string; label: string }) {
  return (
    <div>
      <Group justify="space-between" mb={4}>
        <Text size="sm" fw={600}>
          {label}
        </Text>
        <CopyButton value={text} timeout={1500}>
          {({ copied, copy }) => (
            <Button
              size="compact-xs"
              variant="default"
              onClick={copy}
              leftSection={<Icon name={copied ? 'check' : 'copy'} size={13} />}
              aria-label={copied ? 'Copied' : `Copy: ${label}`}
            >
              {copied ? 'Copied' : 'Copy'}
            </Button>
          )}
        </CopyButton>
      </Group>
      <pre className="snippet" tabIndex={0} aria-label={label}>
        {text}
      </pre>
    </div>
  );
}

/** The head of a column whose name is for screen readers alone. */
export function HiddenHead({ label, className, w }: { label: string; className?: string; w?: number }) {
  return (
    // Positioned, as `stuck` is: what is hidden lies in its cell, and makes no page wider.
    <Table.Th w={w} className={className} pos={className === undefined ? 'relative' : undefined}>
      <VisuallyHidden>{label}</VisuallyHidden>
    </Table.Th>
  );
}

/** Term and value pairs. */
export function Facts({ rows }: { rows: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className="facts">
      {rows.map(([term, value]) => (
        <div key={term} style={{ display: 'contents' }}>
          <dt>{term}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** What of a budget is spent, held and left. */
export function BudgetBar({
  limitCents,
  spentCents,
  heldCents,
  remainingCents,
}: {
  limitCents: number;
  spentCents: number;
  heldCents: number;
  remainingCents: number;
}) {
  // In whole cents that add up: a fraction of a cent decides nothing here.
  const [spent, held, limit] = [spentCents, heldCents, limitCents].map(Math.round) as [number, number, number];
  const rest = limit - spent - held;
  const remaining = Math.abs(rest - remainingCents) < 2 ? rest : remainingCents;
  const named = Object.entries({ spent, held, remaining, limit }).map(([term, cents]) => [term, money(cents)] as const);
  return <UseBar amount={limitCents} used={spentCents} held={heldCents} named={named} />;
}

/** What is used and held of an amount, as a bar, and numbers by their names. */
export function UseBar({
  amount,
  used,
  held,
  named,
}: {
  amount: number;
  used: number;
  held: number;
  named: readonly (readonly [term: string, text: string])[];
}) {
  const share = (part: number) => (amount === 0 ? 0 : Math.min(100, (100 * part) / amount));
  const color = budgetColor(amount === 0 ? 100 : share(used));
  return (
    <div>
      <Progress.Root size="lg" aria-hidden="true">
        <Progress.Section value={amount === 0 ? 100 : share(used)} color={color} />
        <Progress.Section value={share(held)} color="gray" />
      </Progress.Root>
      <Group mt={6} style={{ columnGap: 20, rowGap: 2 }}>
        {named.map(([term, text]) => (
          <Text key={term} size="sm" component="span" className="nowrap">
            <b>{text}</b>{' '}
            <Text span size="sm" c="dimmed">
              {term}
            </Text>
          </Text>
        ))}
      </Group>
    </div>
  );
}

interface BudgetShareProps {
  budgetLimitCents: number | null;
  budgetType: ApiKey['budgetType'];
  budgetSpentCents?: number | null;
  budgetRaise: ApiKey['budgetRaise'];
}

/** A budget in a list: what is spent of it in its period, with a bar; the limit alone where the spend is not known. */
export function BudgetShare({ budgetLimitCents, budgetType, budgetSpentCents: spent, budgetRaise }: BudgetShareProps) {
  const limit = budgetLimitCents === null ? null : budgetLimitCents + (budgetRaise?.cents ?? 0);
  if (limit === null)
    return (
      <Text span size="sm" c="dimmed">
        unlimited
      </Text>
    );
  const period = budgetType === 'monthly' ? 'this month' : 'in total';
  if (spent === undefined || spent === null)
    return (
      <Text span size="sm" className="nowrap">
        {money(limit)} {period}
      </Text>
    );
  const percent = limit === 0 ? 100 : Math.round((100 * spent) / limit);
  return (
    <div>
      <Text span size="sm" className="nowrap">
        {money(spent)} of {money(limit)}
      </Text>
      <BudgetShareBar percent={percent} />
      <Text size="xs" c="dimmed">
        {percent} % {period}
        {budgetRaise && `, raised until ${local(budgetRaise.until)}`}
      </Text>
    </div>
  );
}

/** The share of an amount that is used, in a list. */
export function BudgetShareBar({ percent }: { percent: number }) {
  return <Progress value={Math.min(100, percent)} color={budgetColor(percent)} size={4} my={2} aria-hidden="true" />;
}

function budgetColor(percent: number): string {
  return percent >= 95 ? 'red' : percent >= 80 ? 'orange' : 'indigo';
}

/** A file the server makes; the session cookie goes with it. */
export function Download({ href, children }: { href: string; children: ReactNode }) {
  return (
    <Button
      component="a"
      href={href}
      download
      variant="default"
      size="xs"
      leftSection={<Icon name="download" size={15} />}
    >
      {children}
    </Button>
  );
}
