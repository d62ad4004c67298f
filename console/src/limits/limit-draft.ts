import {
  LIMIT_TARGETS,
  type LimitMember,
  type LimitMode,
  type LimitPeriod,
  type LimitTargetKind,
} from '../../../packages/contract/src/limit';
import type { Schemas } from '../api/client';
import { centsOf } from '../keys/key-draft';

/** A limit as the form has it. */
export interface LimitDraft {
  name: string;
  kind: LimitTargetKind;
  targetId: string | null;
  /** `shared`: all calls of the target share one account. */
  each: LimitMember | 'shared';
  /** In the currency of the installation. */
  amount: number | '';
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
    amount: '',
    per: kind === 'key' ? 'day' : 'month',
    timeZone: 'UTC',
    models: [],
    mode: 'enforce',
    alias: '',
    description: '',
  };
}

/** The draft as the API takes it. */
export function limitBodyOf(draft: LimitDraft): Schemas['CreateLimitDto'] {
  const { name, kind, targetId, each, amount, per, timeZone, models, mode, alias, description } = draft;
  return {
    name,
    target: kind === 'installation' || targetId === null ? { kind } : { kind, id: targetId },
    amountCents: centsOf(Number(amount)),
    per,
    models,
    mode,
    ...(each === 'shared' ? {} : { each }),
    ...(per === 'total' ? {} : { timeZone }),
    ...(alias === '' ? {} : { alias }),
    ...(description === '' ? {} : { description }),
  };
}
