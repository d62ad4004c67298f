import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import type { KnownCaller } from '../access/caller.js';
import type { ApiKeyView } from '../api-keys/api-key.view.js';
import { ApiKeysService } from '../api-keys/api-keys.service.js';
import { Clock } from '../common/clock.js';
import { validationFailed } from '../common/domain-error.js';
import { type CsvValue, csvHeader, csvLine } from '../common/csv.js';
import { MICRO_CENTS_PER_CENT, centsFromMicroCents } from '../common/money.js';
import { findBudget } from '../quotas/budget-reader.js';
import { Quotas } from '../quotas/quotas.service.js';
import type { Sql } from '../quotas/sql.js';
import { readWindows, resetSecondsOf } from '../quotas/window-reader.js';
import { BudgetForecastsService } from './budget-forecasts.service.js';
import {
  DAY_MS,
  HOUR_MS,
  monthToDate,
  rangeBefore,
  type RangeRules,
  rangeOf,
  stepsOf,
  type TimeRange,
} from './time-range.js';
import { dayText, TimeZone } from './time-zone.js';
import {
  type RefusalsQuery,
  SUMMARY_GROUPS,
  type SummaryGroup,
  type UsageSeriesQuery,
  type UsageSummaryQuery,
} from './usage-reads.dto.js';
import {
  countOf,
  type KeyBudgetView,
  type KeyUsageView,
  type KeyRateLimitView,
  type RefusalsView,
  type UsagePeriodView,
  type UsageSeriesView,
  UsageSummaryRowView,
  type UsageSummaryView,
  UsageTotalsView,
} from './usage-reads.view.js';
import { lineOf, linesByModel } from './usage-series.js';
import {
  type ArchivedMonth,
  type GroupSums,
  GROUPS_OF_EVENTS,
  type SumSource,
  UsageRepository,
} from './usage.repository.js';

/** Groups in a JSON answer, and lines of a CSV file. */
const MAX_ROWS = 1_000;
const MAX_CSV_ROWS = 100_000;

const SERIES_RANGES: Record<'hour' | 'day', RangeRules> = {
  hour: { step: 'hour', defaultMs: DAY_MS, maxMs: 31 * DAY_MS },
  day: { step: 'day', defaultMs: 30 * DAY_MS, maxMs: 400 * DAY_MS },
};
const SUMMARY_RANGE: RangeRules = { step: 'hour', defaultMs: 30 * DAY_MS, maxMs: 400 * DAY_MS };
/** So much is summed up from single events. */
const EVENTS_RANGE: RangeRules = { ...SUMMARY_RANGE, maxMs: 35 * DAY_MS };
/** So far back refusals are kept. */
const REFUSALS_RANGE: RangeRules = { step: 'minute', defaultMs: DAY_MS, maxMs: 35 * DAY_MS };

const CSV_COLUMNS = ['group', 'name', 'requests', 'inputTokens', 'outputTokens', 'totalTokens', 'costCents'];

/** Answers "who uses what, and what does it cost?". */
@Injectable()
export class UsageReadsService {
  private readonly sql: Sql;

  constructor(
    private readonly keys: ApiKeysService,
    private readonly usage: UsageRepository,
    private readonly clock: Clock,
    private readonly quotas: Quotas,
    private readonly forecasts: BudgetForecastsService,
    manager: EntityManager,
  ) {
    this.sql = (text, values) => manager.query(text, [...values]);
  }

  /** @throws DomainError 404 for keys that do not exist or are not for this caller to know */
  async ofKey(caller: KnownCaller, id: string): Promise<KeyUsageView> {
    const key = await this.keys.get(caller, id);
    const { total, today, thisHour, verdictsToday, lastUsedAt } = await this.usage.figuresOf(key.id);
    const { VALID: accepted = 0, ...refusals } = Object.fromEntries(verdictsToday);
    return {
      apiKeyId: key.id,
      totalRequests: countOf(total.requests),
      totalTokens: countOf(total.inputTokens + total.outputTokens),
      totalCostCents: centsFromMicroCents(total.costMicroCents),
      totalCostMicroCents: total.costMicroCents.toString(),
      requestsToday: countOf(today.requests),
      tokensToday: countOf(today.inputTokens + today.outputTokens),
      costTodayCents: centsFromMicroCents(today.costMicroCents),
      requestsThisHour: countOf(thisHour.requests),
      tokensThisHour: countOf(thisHour.inputTokens + thisHour.outputTokens),
      costThisHourCents: centsFromMicroCents(thisHour.costMicroCents),
      acceptedVerifiesToday: accepted,
      refusalsToday: refusals,
      lastUsedAt,
      rateLimits: await this.rateLimitsOf(key),
      budget: await this.budgetOf(key),
    };
  }

  /** @throws DomainError 404 as `ofKey`; 400 for a range that is wrong or too long, and for an unknown time zone */
  async seriesOf(caller: KnownCaller, id: string, query: UsageSeriesQuery): Promise<UsageSeriesView> {
    const key = await this.keys.get(caller, id);
    const interval = query.interval ?? 'hour';
    const zone = TimeZone.of(query.timeZone);
    const range = rangeOf(query, SERIES_RANGES[interval], this.clock.now(), zone);
    const starts = stepsOf(range, interval, zone);
    const byModel = query.groupBy === 'model';
    const source = areWholeHours([...starts, range.to]) ? 'rollups' : 'events';
    const steps = await this.usage.stepsOf(key.id, range, { starts, byModel, source });
    await this.requireEvents({ range, source, zone });
    return {
      apiKeyId: key.id,
      interval,
      ...range,
      timeZone: zone.name,
      series: byModel ? linesByModel(steps, starts) : [lineOf(steps, starts)],
    };
  }

  /** @throws DomainError 400 for a range that is wrong or too long, and for an unknown time zone */
  async summarize(query: UsageSummaryQuery): Promise<UsageSummaryView> {
    const asked = this.summaryOf(query);
    const { range, groupBy, zone, source } = asked;
    const previous = query.compare === undefined ? null : rangeBefore(range, query.period, zone);
    const assumedAt = await this.usage.assumedAt();
    const groups = await this.groupsOf(asked, MAX_ROWS + 1);
    const rows = groups.slice(0, MAX_ROWS).map(({ group, name, sums }) => UsageSummaryRowView.from(group, name, sums));
    const totals = UsageTotalsView.from(await this.usage.sumOf(range, source, asked));
    await this.requireEvents(asked);
    return {
      ...range,
      timeZone: zone.name,
      assumedBefore: assumedAt !== null && assumedAt > range.from ? assumedAt : null,
      groupBy,
      totals,
      ...(previous === null ? {} : { previous: await this.periodOf(previous, asked) }),
      rows,
      isCapped: groups.length > MAX_ROWS,
    };
  }

  private async periodOf(range: TimeRange, asked: Summary): Promise<UsagePeriodView> {
    const source = asked.subject === null && areWholeHours([range.from, range.to]) ? 'rollups' : 'events';
    const totals = UsageTotalsView.from(await this.usage.sumOf(range, source, asked));
    await this.requireEvents({ ...asked, range, source }, 'compare');
    return { ...range, totals };
  }

  /**
   * Asked after the sums were read: a month may be archived meanwhile.
   *
   * @throws DomainError 400 for sums of single events of which some were archived, saying which, and what still works
   */
  private async requireEvents(
    asked: Pick<Summary, 'range' | 'source' | 'zone'> & Partial<Summary>,
    path: 'from' | 'compare' = 'from',
  ): Promise<void> {
    const archived = asked.source === 'events' ? await this.usage.lastArchivedIn(asked.range) : null;
    if (archived !== null) throw validationFailed([{ path, message: withoutEvents(archived, path, asked) }]);
  }

  /** The rows of `summarize` as CSV with a header line, costs to the last decimal; up to 100 000 groups. */
  async summarizeAsCsv(query: UsageSummaryQuery): Promise<string> {
    const asked = this.summaryOf(query);
    const groups = await this.groupsOf(asked, MAX_CSV_ROWS);
    await this.requireEvents(asked);
    const lines = groups.map(({ group, name, sums }) => {
      const cells: CsvValue[] = [
        group,
        name,
        sums.requests,
        sums.inputTokens,
        sums.outputTokens,
        sums.inputTokens + sums.outputTokens,
      ];
      return csvLine([...cells, centsText(sums.costMicroCents)]);
    });
    return csvHeader(CSV_COLUMNS) + lines.join('');
  }

  /** What a summary is about. Rollups are by the hour of UTC, and know keys and models alone. */
  private summaryOf(query: UsageSummaryQuery): Summary {
    const groupBy = query.groupBy ?? 'day';
    const projectId = query.projectId?.toLowerCase() ?? null;
    const zone = TimeZone.of(query.timeZone);
    const subject = query.subject ?? null;
    const isOfEvents = subject !== null || GROUPS_OF_EVENTS.includes(groupBy);
    const rules = isOfEvents ? EVENTS_RANGE : SUMMARY_RANGE;
    const now = this.clock.now();
    if (query.period !== undefined) requireNoRange(query);
    const rangeWithin = (rules: RangeRules) =>
      query.period === undefined ? rangeOf(query, rules, now, zone) : monthToDate(now, zone);
    const range = rangeWithin(rules);
    const starts = groupBy === 'day' ? stepsOf(range, 'day', zone) : [];
    if (!isOfEvents && areWholeHours([range.from, range.to, ...starts]))
      return { groupBy, zone, range, starts, source: 'rollups', projectId, subject };
    // The same once more, with the bound of events.
    return { groupBy, zone, range: rangeWithin(EVENTS_RANGE), starts, source: 'events', projectId, subject };
  }

  private async groupsOf(
    { groupBy, range, starts, source, zone, projectId, subject }: Summary,
    limit: number,
  ): Promise<GroupSums[]> {
    const groups = await this.usage.summarize(groupBy, range, { limit, starts, source, projectId, subject });
    if (groupBy !== 'day') return groups;
    const dayAt = (place: number) => dayText(zone.dayOf(starts[place - 1]!.getTime()));
    return groups.map(({ group, ...sums }) => ({ ...sums, group: dayAt(Number(group)) }));
  }

  private async rateLimitsOf(key: ApiKeyView): Promise<KeyRateLimitView[]> {
    const limits = { minute: key.rateLimitPerMinute, hour: key.rateLimitPerHour, day: key.rateLimitPerDay };
    const standings = await readWindows(this.sql, key.id, limits);
    return standings.map(({ window, limit, remaining, resetMs }) => ({
      window,
      limit,
      remaining,
      resetSeconds: resetSecondsOf(window, resetMs),
    }));
  }

  private async budgetOf(key: ApiKeyView): Promise<KeyBudgetView | null> {
    const budget = await findBudget(this.sql, key.id, this.quotas.unusedOf(key.id));
    return (
      budget && {
        type: budget.type,
        limitCents: centsFromMicroCents(budget.limit),
        raisedByCents: centsFromMicroCents(budget.raise),
        raisedUntil: budget.raiseUntil,
        spentCents: centsFromMicroCents(budget.spent),
        spentMicroCents: budget.spent.toString(),
        heldCents: centsFromMicroCents(budget.held),
        setAsideCents: centsFromMicroCents(budget.setAside),
        remainingCents: centsFromMicroCents(budget.remaining),
        periodStart: budget.periodStart,
        periodEnd: budget.periodEnd,
        usedUpAt: await this.forecasts.ofKey(key, budget),
      }
    );
  }

  /** @throws DomainError 400 for a range that is wrong or too long */
  async refusals(query: RefusalsQuery): Promise<RefusalsView> {
    const range = rangeOf(query, REFUSALS_RANGE, this.clock.now());
    const keyId = query.apiKeyId?.toLowerCase() ?? null;
    const counts = await this.usage.refusalCounts(range, keyId);
    const refusals = await this.usage.refusalsIn(range, keyId, MAX_ROWS + 1);
    return {
      ...range,
      counts: Object.fromEntries(counts),
      refusals: refusals.slice(0, MAX_ROWS),
      isCapped: refusals.length > MAX_ROWS,
    };
  }
}

/** @throws DomainError 400 for a range beside a period, naming what is too much */
function requireNoRange({ from, to }: UsageSummaryQuery): void {
  const errors = Object.entries({ from, to })
    .filter(([, text]) => text !== undefined)
    .map(([path]) => ({ path, message: 'contradicts period' }));
  if (errors.length > 0) throw validationFailed(errors);
}

/** What is no longer known of an archived month, and what still is. */
function withoutEvents(
  { month, endsAt }: ArchivedMonth,
  path: 'from' | 'compare',
  { zone, groupBy = 'day', subject = null }: Pick<Summary, 'zone'> & Partial<Summary>,
): string {
  const end = path === 'compare' ? 'leave it out' : `ask for a range from ${dayText(firstDayAfter(endsAt, zone))} on`;
  if (subject !== null) return `the events of ${month} (UTC) were archived, and subject needs single events: ${end}`;
  const isOfEvents = GROUPS_OF_EVENTS.includes(groupBy) && path === 'from';
  const what = isOfEvents ? `groupBy=${groupBy}` : `the time zone ${zone.name}`;
  const ofRollups = SUMMARY_GROUPS.filter((group) => !GROUPS_OF_EVENTS.includes(group));
  return (
    `the events of ${month} (UTC) were archived, and ${what} needs single events: ` +
    `${end}, or ${isOfEvents ? `group by ${ofRollups.join(', ')}` : 'take a time zone of whole hours, such as UTC'}`
  );
}

/** The first day of a zone that begins at an instant or later. */
function firstDayAfter(instant: Date, zone: TimeZone): number {
  const day = zone.dayOf(instant.getTime());
  return zone.startOf(day) < instant.getTime() ? day + 1 : day;
}

/** What is asked of a summary; `starts` are those of its days. */
interface Summary {
  readonly groupBy: SummaryGroup;
  readonly zone: TimeZone;
  readonly range: TimeRange;
  readonly starts: readonly Date[];
  readonly source: SumSource;
  /** null: of all keys. */
  readonly projectId: string | null;
  /** null: of all subjects, and of none. */
  readonly subject: string | null;
}

/** Whether rollups, which are by the hour of UTC, can tell these instants apart. */
function areWholeHours(instants: readonly Date[]): boolean {
  return instants.every((instant) => instant.getTime() % HOUR_MS === 0);
}

/** Cents as decimal text, exact at any size. */
function centsText(microCents: bigint): string {
  const fraction = (microCents % MICRO_CENTS_PER_CENT).toString().padStart(6, '0').replace(/0+$/, '');
  return `${microCents / MICRO_CENTS_PER_CENT}${fraction === '' ? '' : `.${fraction}`}`;
}
