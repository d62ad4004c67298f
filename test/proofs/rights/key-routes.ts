import { createHash } from 'node:crypto';
import type { ProofAnswer } from '../harness/http-client.js';
import type { Draw, Route } from './attempt.js';
import { type Actor, all, isInsidePolicy, mayWriteTags, type Ruling, type World, type WorldKey } from './world.js';

const UPDATE = 'api-keys:update';
/** What KEY_VALIDITY_DAYS of the experiment says. */
const WINDOW_MS = 15 * 86_400_000;
const ACTS = ['activate', 'deactivate', 'renew', 'revoke', 'tag'] as const;
type Act = (typeof ACTS)[number];

interface KeyFields {
  readonly ownerId: string;
  readonly roles: readonly string[];
  readonly rateLimitPerMinute: number | null | undefined;
  readonly tags: readonly string[];
  readonly expiresAt: string | undefined;
}

function fieldsOf(draw: Draw, actor: Actor): KeyFields {
  const ownerId = draw.chance(0.5) ? actor.userId : draw.owner().id;
  const expiresAt = draw.chance(0.3) ? draw.inDays(1 + draw.random.integer(60)) : undefined;
  return { ownerId, roles: draw.roles(), rateLimitPerMinute: draw.rate(), tags: draw.tags(), expiresAt };
}

/** Whether the actor may make a key, and by the rules of policies which one. */
function mayCreate(world: World, actor: Actor, { ownerId, roles, rateLimitPerMinute, tags }: KeyFields): boolean {
  const policy = world.policyOf(actor);
  const rate = rateLimitPerMinute === undefined ? (policy?.maxRateLimitPerMinute ?? null) : rateLimitPerMinute;
  return (
    world.may(actor, 'api-keys:create') &&
    (ownerId === actor.userId || world.may(actor, 'api-keys:assign')) &&
    world.holds(actor, world.keyPermissions(roles, ownerId)) &&
    isInsidePolicy(policy, rate, tags)
  );
}

function remember(world: World, actor: Actor, alias: string, fields: KeyFields, view: KeyView): void {
  const isOwners = world.owns(actor, fields.ownerId) && !world.may(actor, UPDATE);
  const fixed = fields.expiresAt === undefined || isOwners ? null : new Date(fields.expiresAt);
  const { id, isActive, deactivatedBy } = view;
  world.keys.set(id, {
    id,
    alias,
    ownerId: fields.ownerId,
    roles: fields.roles,
    rateLimitPerMinute: view.rateLimitPerMinute,
    tags: fields.tags,
    isActive,
    deactivatedBy,
    expiresAt: instant(view.expiresAt),
    maxExpiresAt: fixed,
    isRevoked: false,
  });
}

interface KeyView {
  readonly id: string;
  readonly isActive: boolean;
  readonly deactivatedBy: string | null;
  readonly rateLimitPerMinute: number | null;
  readonly expiresAt: string | null;
}

const instant = (text: string | null) => (text === null ? null : new Date(text));

/** What the server itself decides, from its answer. */
function follow(key: WorldKey, view: KeyView): void {
  Object.assign(key, {
    isActive: view.isActive,
    deactivatedBy: view.deactivatedBy,
    expiresAt: instant(view.expiresAt),
  });
}

/** Why the actor may act on a key by `permission`; null: they may not know of it. */
function standing(world: World, actor: Actor, permission: string, key: WorldKey): 'permission' | 'owner' | null {
  if (world.may(actor, permission)) return 'permission';
  return world.owns(actor, key.ownerId) ? 'owner' : null;
}

/** A caller who makes a key of another owner work where it did not must hold all that it may do. */
function mayRevive(world: World, actor: Actor, key: WorldKey): boolean {
  return world.owns(actor, key.ownerId) || world.holds(actor, world.keyPermissions(key.roles, key.ownerId));
}

/**
 * What is added to a key must be held: certainly allowed where all of it is held, certainly not where the new part is
 * not.
 */
function mayAdd(world: World, actor: Actor, key: WorldKey, roles: readonly string[]): Ruling {
  if (roles.every((role) => key.roles.includes(role))) return true;
  const [before, then] = [world.keyPermissions(key.roles, key.ownerId), world.keyPermissions(roles, key.ownerId)];
  if (world.holds(actor, then)) return true;
  return world.holds(actor, then & ~before) ? 'either' : false;
}

function mayActivate(world: World, actor: Actor, key: WorldKey): boolean {
  const why = standing(world, actor, UPDATE, key);
  if (why === null) return false;
  if (key.isActive) return true;
  if (why === 'owner' && key.deactivatedBy !== actor.userId) return false;
  return mayRevive(world, actor, key);
}

/** A window of 15 days; earlier where an earlier end was fixed. */
function mayRenew(world: World, actor: Actor, key: WorldKey): Ruling {
  const why = standing(world, actor, UPDATE, key);
  if (why === null) return false;
  if (world.owns(actor, key.ownerId) || mayRevive(world, actor, key)) return true;
  // Ends are whole days from some moment of the run: none is so near that the server could see it otherwise.
  return key.expiresAt === null || key.expiresAt.getTime() > Date.now() + WINDOW_MS + 60_000;
}

function afterRenewal(world: World, actor: Actor, key: WorldKey, view: KeyView): void {
  follow(key, view);
  const isPassed = key.maxExpiresAt !== null && key.expiresAt !== null && key.expiresAt > key.maxExpiresAt;
  if (isPassed && world.may(actor, UPDATE)) key.maxExpiresAt = key.expiresAt;
}

function mayTag(world: World, actor: Actor, key: WorldKey, tags: readonly string[]): boolean {
  if (standing(world, actor, UPDATE, key) === null) return false;
  const changed = [...key.tags.filter((tag) => !tags.includes(tag)), ...tags.filter((tag) => !key.tags.includes(tag))];
  return mayWriteTags(world.policyOf(actor), changed);
}

const end = (key: WorldKey) => void (key.isRevoked = true);

/** Every route that makes, changes or ends keys. */
export const KEY_ROUTES: Readonly<Record<string, Route>> = {
  'POST /api-keys': (draw, actor) => {
    const [fields, alias] = [fieldsOf(draw, actor), draw.name()];
    return {
      rights: mayCreate(draw.world, actor, fields),
      method: 'POST',
      path: '/api-keys',
      body: { ...fields, alias },
      after: ({ body }) => remember(draw.world, actor, alias, fields, body.apiKey as KeyView),
    };
  },

  'PUT /api-keys/by-alias (new)': (draw, actor) => {
    const [fields, alias] = [fieldsOf(draw, actor), draw.name()];
    const { ownerId, ...body } = fields;
    return {
      rights: mayCreate(draw.world, actor, fields),
      method: 'PUT',
      path: `/api-keys/by-alias/${alias}?ownerId=${ownerId}`,
      body: { ...body, name: alias },
      after: (answer) => remember(draw.world, actor, alias, fields, answer.body.apiKey as KeyView),
    };
  },

  'PUT /api-keys/by-alias (known)': (draw, actor) => {
    const { world } = draw;
    const [key, roles] = [draw.key(actor), draw.roles(1)];
    const why = standing(world, actor, UPDATE, key);
    const isNarrowing = roles.every((role) => key.roles.includes(role));
    const after = { ...key, roles };
    return {
      rights:
        why === null || (why === 'owner' && !isNarrowing)
          ? false
          : all(mayAdd(world, actor, key, roles), mayActivate(world, actor, after), mayRenew(world, actor, after)),
      method: 'PUT',
      path: `/api-keys/by-alias/${key.alias}?ownerId=${key.ownerId}`,
      body: { name: 'Renewed', roles },
      after: ({ body }) => {
        key.roles = roles;
        afterRenewal(world, actor, key, body.apiKey as KeyView);
      },
    };
  },

  'PATCH /api-keys/:id': (draw, actor) => {
    const { world } = draw;
    const key = draw.key(actor);
    const roles = draw.chance(0.5) ? draw.roles() : draw.some(key.roles, 1);
    const rate = draw.rate() ?? null;
    const why = standing(world, actor, UPDATE, key);
    const isNarrowing =
      roles.every((role) => key.roles.includes(role)) &&
      (key.rateLimitPerMinute === null || (rate !== null && rate <= key.rateLimitPerMinute));
    return {
      rights: why === null || (why === 'owner' && !isNarrowing) ? false : mayAdd(world, actor, key, roles),
      method: draw.chance(0.5) ? 'PATCH' : 'PUT',
      path: `/api-keys/${key.id}`,
      body: { roles, rateLimitPerMinute: rate },
      after: () => void Object.assign(key, { roles, rateLimitPerMinute: rate }),
    };
  },

  'PATCH /api-keys/:id expiresAt': (draw, actor) => {
    const { world } = draw;
    const key = draw.key(actor);
    const expiresAt = draw.chance(0.8) ? draw.inDays(1 + draw.random.integer(60)) : null;
    const isLater = key.expiresAt !== null && (expiresAt === null || new Date(expiresAt) > key.expiresAt);
    const why = standing(world, actor, UPDATE, key);
    return {
      rights: why !== null && (!isLater || (why === 'permission' && mayRevive(world, actor, key))),
      method: 'PATCH',
      path: `/api-keys/${key.id}`,
      body: { expiresAt },
      after: ({ body }) => {
        follow(key, body as KeyView);
        if (why === 'permission') key.maxExpiresAt = instant(expiresAt);
      },
    };
  },

  'PATCH /api-keys/:id tags': (draw, actor) => {
    const [key, tags] = [draw.key(actor), draw.tags()];
    return {
      rights: mayTag(draw.world, actor, key, tags),
      method: 'PATCH',
      path: `/api-keys/${key.id}`,
      body: { tags },
      after: () => void (key.tags = tags),
    };
  },

  'POST /api-keys/:id/renew': (draw, actor) => {
    const key = draw.key(actor);
    return {
      rights: mayRenew(draw.world, actor, key),
      method: 'POST',
      path: `/api-keys/${key.id}/renew`,
      after: ({ body }) => afterRenewal(draw.world, actor, key, body as KeyView),
    };
  },

  'POST /api-keys/:id/activate': (draw, actor) => {
    const key = draw.key(actor);
    return {
      rights: mayActivate(draw.world, actor, key),
      method: 'POST',
      path: `/api-keys/${key.id}/activate`,
      after: ({ body }) => follow(key, body as KeyView),
    };
  },

  'POST /api-keys/:id/deactivate': (draw, actor) => {
    const key = draw.key(actor);
    return {
      rights: standing(draw.world, actor, UPDATE, key) !== null,
      method: 'POST',
      path: `/api-keys/${key.id}/deactivate`,
      after: ({ body }) => follow(key, body as KeyView),
    };
  },

  'POST /api-keys/:id/regenerate': (draw, actor) => {
    const key = draw.key(actor);
    const rights = standing(draw.world, actor, UPDATE, key) !== null && mayRevive(draw.world, actor, key);
    return { rights, method: 'POST', path: `/api-keys/${key.id}/regenerate`, body: { overlapSeconds: 60 } };
  },

  'POST /api-keys/:id/transfer': (draw, actor) => {
    const { world } = draw;
    const [key, to] = [draw.key(actor), draw.chance(0.3) ? world.users.get(actor.userId)! : draw.owner()];
    const mayTake = world.may(actor, 'api-keys:assign') && (world.owns(actor, key.ownerId) || world.may(actor, UPDATE));
    const isFit =
      world.holds(actor, world.keyPermissions(key.roles, to.id)) &&
      isInsidePolicy(world.policyOf(actor), key.rateLimitPerMinute, key.tags);
    return {
      rights: mayTake && (key.ownerId === to.id || isFit),
      method: 'POST',
      path: `/api-keys/${key.id}/transfer`,
      body: { ownerId: to.id },
      after: () => void (key.ownerId = to.id),
    };
  },

  'POST /api-keys/:id/revoke': (draw, actor) => {
    const key = draw.key(actor);
    const [method, path] = draw.chance(0.5)
      ? ['POST', `/api-keys/${key.id}/revoke`]
      : ['DELETE', `/api-keys/${key.id}`];
    return {
      rights: standing(draw.world, actor, 'api-keys:delete', key) !== null,
      method: method,
      path: path,
      after: () => end(key),
    };
  },

  'DELETE /api-keys/:id/permanent': (draw, actor) => {
    const { world } = draw;
    const revoked = [...world.keys.values()].filter(({ isRevoked }) => isRevoked);
    const key = revoked.length > 0 && draw.chance(0.5) ? draw.random.pick(revoked) : draw.key(actor);
    const why = standing(world, actor, 'api-keys:delete', key);
    return {
      rights: why === 'permission' || (why === 'owner' && key.isRevoked),
      method: 'DELETE',
      path: `/api-keys/${key.id}/permanent`,
      after: () => void world.keys.delete(key.id),
    };
  },

  'POST /api-keys/bulk': (draw, actor) => {
    const { world } = draw;
    const [key, action] = [draw.key(actor), draw.random.pick(ACTS)];
    const tag = draw.random.pick(['plan:gold', 'team:c']);
    const tags = key.tags.includes(tag) ? key.tags : [...key.tags, tag];
    const rights: Record<Act, Ruling> = {
      activate: mayActivate(world, actor, key),
      deactivate: standing(world, actor, UPDATE, key) !== null,
      renew: mayRenew(world, actor, key),
      revoke: standing(world, actor, 'api-keys:delete', key) !== null,
      tag: mayTag(world, actor, key, tags),
    };
    return {
      rights: rights[action],
      method: 'POST',
      path: '/api-keys/bulk',
      body: { ids: [key.id], action, ...(action === 'tag' ? { add: [tag] } : {}) },
      wasDone: ({ body }) =>
        ['done', 'unchanged'].includes((body as { results: { outcome: string }[] }).results[0]!.outcome),
      after: () => afterBulk(world, actor, key, action, tags),
    };
  },

  'POST /api-keys/import': (draw, actor) => {
    const [fields, alias] = [fieldsOf(draw, actor), draw.name()];
    const sha256 = createHash('sha256').update(`g09 ${alias}`).digest('hex');
    return {
      rights: draw.world.may(actor, 'api-keys:assign') && mayCreate(draw.world, actor, fields),
      method: 'POST',
      path: '/api-keys/import',
      body: { keys: [{ ...fields, alias, sha256, prefix: 'sk-g09' }] },
      wasDone: (answer) => resultOf(answer).outcome === 'created',
      after: (answer) => {
        const policy = draw.world.policyOf(actor);
        const rate =
          fields.rateLimitPerMinute === undefined ? (policy?.maxRateLimitPerMinute ?? null) : fields.rateLimitPerMinute;
        const view = {
          id: resultOf(answer).id!,
          isActive: true,
          deactivatedBy: null,
          rateLimitPerMinute: rate,
          expiresAt: fields.expiresAt ?? null,
        };
        remember(draw.world, actor, alias, fields, view);
      },
    };
  },
};

function resultOf({ body }: ProofAnswer): { readonly outcome: string; readonly id: string | null } {
  return (body as { results: { outcome: string; id: string | null }[] }).results[0]!;
}

/** Bulk gives no view of the key: what the server decides by its clock is near enough for the rules. */
function afterBulk(world: World, actor: Actor, key: WorldKey, action: Act, tags: readonly string[]): void {
  if (action === 'revoke') end(key);
  if (action === 'tag') key.tags = tags;
  if (action === 'activate') Object.assign(key, { isActive: true, deactivatedBy: null });
  if (action === 'renew') {
    const window = new Date(Date.now() + WINDOW_MS);
    const isCapped = !world.may(actor, UPDATE) && key.maxExpiresAt !== null && key.maxExpiresAt < window;
    afterRenewal(world, actor, key, { ...key, expiresAt: (isCapped ? key.maxExpiresAt! : window).toISOString() });
  }
  if (action === 'deactivate') {
    const owner = world.users.get(key.ownerId)!;
    const isOwners = key.deactivatedBy === key.ownerId || owner.managerIds.includes(key.deactivatedBy ?? '');
    const takesOver = world.may(actor, UPDATE) && !world.owns(actor, key.ownerId) && isOwners;
    if (key.isActive || takesOver) Object.assign(key, { isActive: false, deactivatedBy: actor.userId });
  }
}
