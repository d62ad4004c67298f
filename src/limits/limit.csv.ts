import { type CsvValue, csvHeader, csvLine } from '../common/csv.js';
import type { LimitAccountView, LimitView } from './limit.view.js';

/** A column keeps its place, a new one is the last. */
const LIMIT_COLUMNS = {
  id: ({ id }) => id,
  name: ({ name }) => name,
  alias: ({ alias }) => alias,
  description: ({ description }) => description,
  sentence: ({ sentence }) => sentence,
  unit: ({ unit }) => unit,
  amount: ({ amount }) => amount,
  per: ({ per }) => per,
  timeZone: ({ timeZone }) => timeZone,
  targetKind: ({ target }) => target.kind,
  targetId: ({ target }) => target.id,
  targetName: ({ target }) => target.name,
  each: ({ each }) => each,
  models: ({ models }) => models,
  mode: ({ mode }) => mode,
  countsFrom: ({ countsFrom }) => countsFrom,
  fullestMemberId: ({ fullest }) => fullest?.member?.id ?? null,
  fullestUsed: ({ fullest }) => fullest?.used ?? null,
  fullestUsedPercent: ({ fullest }) => fullest?.usedPercent ?? null,
  createdAt: ({ createdAt }) => createdAt,
  updatedAt: ({ updatedAt }) => updatedAt,
} as const satisfies Record<string, (limit: LimitView) => CsvValue>;

const ACCOUNT_COLUMNS = {
  memberId: ({ member }) => member?.id ?? null,
  memberKind: ({ member }) => member?.kind ?? null,
  memberName: ({ member }) => member?.name ?? null,
  state: ({ state }) => state,
  amount: ({ amount }) => amount,
  used: ({ used }) => used,
  held: ({ held }) => held,
  remaining: ({ remaining }) => remaining,
  usedPercent: ({ usedPercent }) => usedPercent,
  startsAt: ({ startsAt }) => startsAt,
  resetsAt: ({ resetsAt }) => resetsAt,
  overrideAmount: ({ override }) => override?.amount ?? null,
  overrideUntil: ({ override }) => override?.until ?? null,
  overrideReason: ({ override }) => override?.reason ?? null,
} as const satisfies Record<string, (account: LimitAccountView) => CsvValue>;

export const LIMIT_CSV_HEADER = csvHeader(Object.keys(LIMIT_COLUMNS));
export const ACCOUNT_CSV_HEADER = csvHeader(Object.keys(ACCOUNT_COLUMNS));

/** The line of one limit. */
export function csvOfLimit(limit: LimitView): string {
  return csvLine(Object.values(LIMIT_COLUMNS).map((column) => column(limit)));
}

/** The line of one account. */
export function csvOfAccount(account: LimitAccountView): string {
  return csvLine(Object.values(ACCOUNT_COLUMNS).map((column) => column(account)));
}
