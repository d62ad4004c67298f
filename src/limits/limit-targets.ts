import type { LimitTarget } from './limits.repository.js';
import type { LimitTargetDto } from './limit.dto.js';
import type { Limit } from './limit.entity.js';

/** The target that a request names, its id in lower case. */
export function targetFrom({ kind, id }: LimitTargetDto): LimitTarget {
  return { kind, id: id?.toLowerCase() ?? null };
}

/** The target of a filter: `installation`, or a kind and an id. */
export function targetFromText(text: string): LimitTarget {
  const [kind, id] = text.split(':') as [LimitTarget['kind'], string?];
  return { kind, id: id?.toLowerCase() ?? null };
}

/** The target of a limit. */
export function targetOf({ targetKind: kind, targetId: id }: Limit): LimitTarget {
  return { kind, id };
}
