import type { Route } from './attempt.js';
import { type Actor, isInsidePolicy, type World, type WorldRole, type WorldUser } from './world.js';
import { permissionsOf } from './permission-sets.js';

const POLICIES = [
  null,
  {},
  { maxRateLimitPerMinute: 5 },
  { maxRateLimitPerMinute: 20 },
  { reservedTagPrefixes: ['plan:'] },
  { maxRateLimitPerMinute: 20, reservedTagPrefixes: ['plan:'] },
] as const;

function mayChange(world: World, actor: Actor, user: WorldUser): boolean {
  return world.may(actor, 'users:update') && world.mayActAs(actor, user);
}

function mayChangeRole(world: World, actor: Actor, role: WorldRole, after: WorldRole): boolean {
  const permissions = permissionsOf([...role.permissions, ...after.permissions]);
  return (
    world.may(actor, 'roles:update') &&
    world.holds(actor, permissions) &&
    world.boundsRole(actor, role, after) &&
    world.mayLoosenRole(actor, role, after) &&
    world.mayLoosenHolders(actor, role, after)
  );
}

/** Whether the actor may end the user, and what becomes of the keys. */
function mayDelete(world: World, actor: Actor, user: WorldUser, heir: WorldUser | null): boolean {
  if (!world.may(actor, 'users:delete') || !world.mayActAs(actor, user)) return false;
  if (heir === null) return true;
  const keys = world.liveKeysOf(user.id);
  const roles = [...new Set(keys.flatMap((key) => key.roles))];
  const policy = world.policyOf(actor);
  const areFit =
    world.holds(actor, world.keyPermissions(roles, heir.id)) &&
    keys.every((key) => isInsidePolicy(policy, key.rateLimitPerMinute, key.tags));
  return world.may(actor, 'api-keys:assign') && heir.isActive && (keys.length === 0 || areFit);
}

/** Every route that changes people, service accounts and roles. */
export const USER_ROUTES: Readonly<Record<string, Route>> = {
  'POST /users': (draw, actor) => {
    const { world } = draw;
    const [roles, kind] = [draw.roles(), draw.chance(0.5) ? 'person' : 'service'] as const;
    const managerIds = kind === 'service' ? draw.some(draw.persons(), 1).map(({ id }) => id) : [];
    return {
      rights: world.may(actor, 'users:create') && world.coversUser(actor, { roles }),
      method: 'POST',
      path: '/users',
      body: {
        name: 'New',
        kind,
        roles,
        managerIds,
        ...(kind === 'person' ? { email: `${draw.name()}@g09.test` } : {}),
      },
      after: ({ body }) =>
        void world.users.set(body.id as string, { id: body.id as string, kind, roles, managerIds, isActive: true }),
    };
  },

  'PATCH /users/:id isActive': (draw, actor) => {
    const [user, isActive] = [draw.user(), draw.chance(0.7)];
    return {
      rights: mayChange(draw.world, actor, user),
      method: 'PATCH',
      path: `/users/${user.id}`,
      body: { isActive },
      after: () => void (user.isActive = isActive),
    };
  },

  'PATCH /users/:id managerIds': (draw, actor) => {
    const services = draw.targetUsers().filter(({ kind }) => kind === 'service');
    const user = draw.random.pick(services);
    const managerIds =
      actor.kind === 'person' && draw.chance(0.3) ? [actor.userId] : draw.some(draw.persons(), 2).map(({ id }) => id);
    return {
      rights: mayChange(draw.world, actor, user),
      method: 'PATCH',
      path: `/users/${user.id}`,
      body: { managerIds },
      after: () => void (user.managerIds = managerIds),
    };
  },

  'PATCH /users/:id email': (draw, actor) => {
    const user = draw.user();
    return {
      rights: mayChange(draw.world, actor, user),
      method: 'PATCH',
      path: `/users/${user.id}`,
      body: { email: `${draw.name()}@g09.test` },
    };
  },

  'PATCH /users/:id name': (draw, actor) => {
    const user = draw.user();
    const rights = draw.world.may(actor, 'users:update') && draw.world.coversUser(actor, user);
    return {
      rights,
      method: 'PATCH',
      path: `/users/${user.id}`,
      body: { name: draw.name(), maxActiveKeys: 1_000_000 },
    };
  },

  'PUT /users/:id/roles': (draw, actor) => {
    const [user, roles] = [draw.user(), draw.roles()];
    const rights =
      mayChange(draw.world, actor, user) &&
      draw.world.coversUser(actor, { roles }) &&
      draw.world.mayLoosenUser(actor, user, roles);
    return {
      rights,
      method: 'PUT',
      path: `/users/${user.id}/roles`,
      body: { roles },
      after: () => void (user.roles = roles),
    };
  },

  'PUT /users/:id/password': (draw, actor) => {
    const user = draw.random.pick(draw.targetUsers().filter(({ kind }) => kind === 'person'));
    const body = { password: `correct horse ${draw.name()} battery` };
    return { rights: mayChange(draw.world, actor, user), method: 'PUT', path: `/users/${user.id}/password`, body };
  },

  'DELETE /users/:id': (draw, actor) => {
    const { world } = draw;
    const user = draw.user();
    const heir = draw.chance(0.5) ? draw.random.pick(draw.owners().filter(({ id }) => id !== user.id)) : null;
    return {
      rights: mayDelete(world, actor, user, heir),
      method: 'DELETE',
      path: `/users/${user.id}?${heir === null ? 'keys=revoke' : `transferTo=${heir.id}`}`,
      after: () => {
        for (const key of world.liveKeysOf(user.id)) {
          if (heir === null) key.isRevoked = true;
          else key.ownerId = heir.id;
        }
        for (const key of [...world.keys.values()]) if (key.ownerId === user.id) world.keys.delete(key.id);
        world.users.delete(user.id);
        for (const other of world.users.values()) other.managerIds = other.managerIds.filter((id) => id !== user.id);
      },
    };
  },

  'POST /roles': (draw, actor) => {
    const { world } = draw;
    const role: WorldRole = {
      name: `made-${draw.name()}`,
      permissions: draw.someGrants(3),
      keyPolicy: draw.random.pick(POLICIES),
      isActive: draw.chance(0.9),
    };
    return {
      rights:
        world.may(actor, 'roles:create') &&
        world.holds(actor, permissionsOf(role.permissions)) &&
        world.boundsRole(actor, null, role),
      method: 'POST',
      path: '/roles',
      body: role,
      after: () => void world.roles.set(role.name, role),
    };
  },

  'PATCH /roles/:name': (draw, actor) => {
    const role = draw.world.roles.get(draw.random.pick(draw.targetRoles()))!;
    const change = draw.random.pick([
      { permissions: draw.someGrants(3) },
      { keyPolicy: draw.random.pick(POLICIES) },
      { isActive: draw.chance(0.7) },
    ]);
    const after = { ...role, ...change };
    return {
      rights: mayChangeRole(draw.world, actor, role, after),
      method: 'PATCH',
      path: `/roles/${role.name}`,
      body: change,
      after: () => void Object.assign(role, change),
    };
  },

  'DELETE /roles/:name': (draw, actor) => {
    const { world } = draw;
    const name = draw.random.pick(draw.targetRoles());
    const isHeld =
      [...world.users.values()].some(({ roles }) => roles.includes(name)) ||
      [...world.keys.values()].some((key) => !key.isRevoked && key.roles.includes(name));
    const mayLeaveOut = world.mayLoosenRole(actor, world.roles.get(name)!, null);
    return {
      rights: world.may(actor, 'roles:delete') && mayLeaveOut && !isHeld,
      method: 'DELETE',
      path: `/roles/${name}`,
      after: () => void world.roles.delete(name),
    };
  },
};
