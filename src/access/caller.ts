import type { Precondition } from '../common/version.js';
import type { Permission } from './permissions.js';
import { covers } from './permission-grammar.js';

/** The caller: a signed-in user, or a key that acts for its owner. */
export class Principal {
  /** Answers so far: a service's principal is asked the same on every one of its requests. */
  private readonly answers = new Map<Permission, boolean>();

  constructor(
    readonly kind: 'user' | 'key',
    /** The user's id, or the key's. */
    readonly id: string,
    /** The user, or the key's owner. */
    readonly ownerId: string,
    readonly name: string,
    readonly roles: readonly string[],
    /** What the caller holds; of a key, its roles' grants within its owner's. */
    readonly grants: readonly string[],
    /** The session of a user who signed in here; null for keys and for an identity provider's tokens. */
    readonly sessionId: string | null = null,
    /** Whether another person chose the password: until it is changed, the session may do nothing else. */
    readonly mustChangePassword = false,
    /** Whether a second factor has to be set up before this session may do anything else. */
    readonly mustEnrol = false,
    /** Which environment's keys it may verify; a person's session verifies any. */
    readonly verifiesEnvironment: 'any' | 'live' | 'test' = 'any',
  ) {}

  /** Whether this principal holds `permission` at the moment the request began. */
  may(permission: Permission): boolean {
    const known = this.answers.get(permission);
    if (known !== undefined) return known;
    const answer = covers(this.grants, permission);
    this.answers.set(permission, answer);
    return answer;
  }

  /** Ownership belongs to signed-in people: a key never counts as its owner. */
  get signedInUserId(): string | null {
    return this.kind === 'user' ? this.id : null;
  }
}

/** A request as services see it: who asks, from where, and what it is called in the audit trail. */
export interface Caller {
  /** null on public routes. */
  readonly principal: Principal | null;
  /** The client's address, proxies that are trusted taken away. */
  readonly ip: string | null;
  readonly requestId: string | null;
  /** What the client calls the request itself; null where it has not said, or its word does not count. */
  readonly clientRequestId?: string | null | undefined;
  /** `resource:verb`, from the route's `@Audited`; what the trail calls this act. */
  readonly action: string | null;
  /** What the client calls itself; only where a session may be opened. */
  readonly userAgent?: string | undefined;
  /** What the request says in `If-Match`; only on routes that take it. */
  readonly precondition?: Precondition | null | undefined;
}

/** A caller that has a principal: what every route but a public one hands to its service. */
export interface KnownCaller extends Caller {
  readonly principal: Principal;
}

/** The server itself, for what it does at boot or from the command line. */
export function systemCaller(action: string): Caller {
  return { principal: null, ip: null, requestId: null, action };
}
