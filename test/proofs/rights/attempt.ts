import type { ProofAnswer } from '../harness/http-client.js';
import type { Random } from '../harness/random.js';
import { ROLE_GRANTS } from './permission-sets.js';
import type { Actor, Ruling, World, WorldKey, WorldUser } from './world.js';

/** One request, what the rules say of it, and what is so afterwards if it was let through. */
export interface Attempt {
  readonly rights: Ruling;
  readonly method: string;
  /** Below /api/v1. */
  readonly path: string;
  readonly body?: object;
  readonly after?: (answer: ProofAnswer) => void;
  /** Whether an answer of 200 let it through; absent: it did. */
  readonly wasDone?: (answer: ProofAnswer) => boolean;
}

/** What attempts are drawn from. */
export class Draw {
  private named = 0;

  constructor(
    readonly world: World,
    readonly random: Random,
    /** Roles and users that may change; those of actors do not. */
    readonly targetRoles: () => readonly string[],
    readonly targetUsers: () => readonly WorldUser[],
    readonly owners: () => readonly WorldUser[],
    readonly persons: () => readonly WorldUser[],
  ) {}

  name(): string {
    return `n${(this.named += 1)}`;
  }

  chance(of: number): boolean {
    return this.random.next() < of;
  }

  /** Up to `max` items, none twice. */
  some<T>(items: readonly T[], max: number): T[] {
    const count = Math.min(this.random.integer(max + 1), items.length);
    return [...new Set(Array.from({ length: count }, () => this.random.pick(items)))];
  }

  someGrants(max: number): string[] {
    return this.some(ROLE_GRANTS, max);
  }

  roles(max = 2): string[] {
    return this.some(this.targetRoles(), max);
  }

  user(): WorldUser {
    return this.random.pick(this.targetUsers());
  }

  owner(): WorldUser {
    return this.random.pick(this.owners());
  }

  /** A key; half of the time one that the actor owns, where there is one. */
  key(actor: Actor): WorldKey {
    const keys = [...this.world.keys.values()].filter(({ isRevoked }) => !isRevoked);
    const own = keys.filter((key) => this.world.owns(actor, key.ownerId));
    return own.length > 0 && this.chance(0.5) ? this.random.pick(own) : this.random.pick(keys);
  }

  rate(): number | null | undefined {
    return this.random.pick([undefined, null, 1, 5, 20, 50]);
  }

  tags(): string[] {
    return this.random.pick([[], ['team:a'], ['team:b'], ['plan:gold']]);
  }

  inDays(days: number): string {
    return new Date(Date.now() + days * 86_400_000).toISOString();
  }
}

/** Makes an attempt of its route for an actor. */
export type Route = (draw: Draw, actor: Actor) => Attempt;
