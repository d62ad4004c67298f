import type { LimitMember, LimitTargetKind } from '../../packages/contract/src/limit.js';

/** Who asks, as far as the numbers of limits depend on it. */
export interface LimitViewer {
  /** Holds `platform:limits:read`. */
  readonly seesAll: boolean;
  /** Holds `platform:limits:update`. */
  readonly changesAll: boolean;
  /** Users that the caller is or manages, signed in. A key is none of them. */
  readonly ownerIds: readonly string[];
  /** Projects that one of them is a member of. */
  readonly projectIds: readonly string[];
  /** Those of them that the caller is an admin of. */
  readonly administers: readonly string[];
  /** Keys that the caller owns or is, among those that are asked about. */
  readonly keyIds: readonly string[];
}

/** The account of a limit whose numbers are asked for. */
export interface SeenAccount {
  readonly targetKind: LimitTargetKind;
  readonly targetId: string | null;
  readonly each: LimitMember | null;
  /** The key, owner or subject whose account it is; null: all calls share it. */
  readonly memberId: string | null;
}

/**
 * Whether a caller may know the numbers of an account: callers with the permission of all, members of a project of its
 * limits, owners of what is theirs: a limit on them or on a key of theirs, and their own account of any other. All
 * others learn whether it is exhausted, and until when.
 */
export function seesNumbers(viewer: LimitViewer, { targetKind, targetId, each, memberId }: SeenAccount): boolean {
  if (viewer.seesAll) return true;
  // A subject is whatever callers name it: it may have the text of an id.
  const owns = (kind: LimitMember, id: string | null) =>
    kind !== 'subject' && id !== null && (kind === 'key' ? viewer.keyIds : viewer.ownerIds).includes(id);
  if (targetKind === 'project' && targetId !== null && viewer.projectIds.includes(targetId)) return true;
  if ((targetKind === 'key' || targetKind === 'owner') && owns(targetKind, targetId)) return true;
  return each !== null && owns(each, memberId);
}

/** What a caller may do to a limit; `tighten`: lower its amount, and enforce what is only observed. */
export const LIMIT_ACTS = ['update', 'tighten'] as const;
export type LimitAct = (typeof LIMIT_ACTS)[number];

/** As `LimitChangeRights` decides when the change is made. */
export function limitActs(
  viewer: LimitViewer,
  { targetKind, targetId }: Omit<SeenAccount, 'each' | 'memberId'>,
): LimitAct[] {
  if (viewer.changesAll) return ['update', 'tighten'];
  return targetKind === 'project' && targetId !== null && viewer.administers.includes(targetId) ? ['tighten'] : [];
}
