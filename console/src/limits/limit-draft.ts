import {
  LIMIT_TARGETS,
  type LimitMember,
  type LimitMode,
  type LimitPeriod,
  type LimitTargetKind,
  type LimitUnit,
  isSliding,
  periodsOf,
} from '../../../packages/contract/src/limit';
import type { Schemas } from '../api/client';
import { typedAmount } from './units';

/** A limit as the form has it. */
export interface LimitDraft {
  name: string;
  kind: LimitTargetKind;
  targetId: string | null;
  /** `shared`: all calls of the target share one account. */
  each: LimitMember | 'shared';
  unit: LimitUnit;
  /** In the currency of the installation; whole numbers of any other unit than cents. */
  amount: number | '';
  /** Of no account with `slots`. */
  per: LimitPeriod;
  timeZone: string;
  models: string[];
  mode: LimitMode;
  alias: string;
  description: string;
}

/** Fields of the form by their names in a refusal. */
export const LIMIT_FIELDS = [
  'name',
  'target.kind',
  'target.id',
  'each',
  'unit',
  'amount',
  'amountCents',
  'per',
  'timeZone',
  'models',
  'mode',
  'alias',
  'description',
];

/** An empty form, for a target such as `project:019a…` where one is given. */
export function emptyDraft(target: string | undefined): LimitDraft {
  const [given, id] = (target ?? '').split(':');
  const kind = LIMIT_TARGETS.find((one) => one === given) ?? 'project';
  return {
    name: '',
    kind,
    targetId: kind === given && id ? id : null,
    each: 'shared',
    unit: 'cents',
    amount: '',
    per: kind === 'key' ? 'day' : 'month',
    timeZone: 'UTC',
    models: [],
    mode: 'enforce',
    alias: '',
    description: '',
  };
}

/** The periods that a limit of the draft may have. */
export function periodsOfDraft({ unit, each }: Pick<LimitDraft, 'unit' | 'each'>): readonly LimitPeriod[] {
  return periodsOf(unit, each === 'shared' ? null : each);
}

/** Whether a limit follows the calendar of a time zone. */
export function hasCalendar(unit: LimitUnit, per: LimitPeriod): boolean {
  return unit !== 'slots' && per !== 'total' && !isSliding(per);
}

/** The draft as the API takes it. */
export function limitBodyOf(draft: LimitDraft): Schemas['CreateLimitDto'] {
  const { name, kind, targetId, each, unit, amount, per, timeZone, models, mode, alias, description } = draft;
  return {
    name,
    target: kind === 'installation' || targetId === null ? { kind } : { kind, id: targetId },
    unit: unit as Schemas['CreateLimitDto']['unit'],
    ...typedAmount(unit, Number(amount)),
    models,
    mode,
    ...(each === 'shared' ? {} : { each }),
    ...(unit === 'slots' ? {} : { per, ...(hasCalendar(unit, per) ? { timeZone } : {}) }),
    ...(alias === '' ? {} : { alias }),
    ...(description === '' ? {} : { description }),
  };
}
