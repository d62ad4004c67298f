import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import type { Principal } from '../access/caller.js';
import { ACCESS_RULE, type AccessRule } from '../access/access-rule.js';
import { isUuid } from '../common/uuid.js';
import { apiKeyNotFound, invalidKeyId } from './api-key.errors.js';
import { ApiKeysRepository } from './api-keys.repository.js';
import { requireStanding } from './key-standing.js';

/** On a route of owners alone, a caller who sees the key anyway is told so by the service. */
const READ = { permission: 'platform:api-keys:read' } as const;

/**
 * The guard of every route about one key: `:id` is a UUID, and names a key that this caller may know. It runs after
 * the guard of all routes and before any field is looked at, so that neither a permission nor a wrong body tells an
 * unknown caller which keys exist. What changes the key asks the same question again, on the locked row.
 */
@Injectable()
export class OwnerOrGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly keys: ApiKeysRepository,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<FastifyRequest<{ Params: { id?: string } }>>();
    const { id } = request.params;
    if (id === undefined) return true;
    if (!isUuid(id)) throw invalidKeyId();
    const rule = this.reflector.getAllAndOverride<AccessRule>(ACCESS_RULE, [context.getHandler(), context.getClass()]);
    await this.requireKnown(request.caller?.principal ?? null, rule, id.toLowerCase());
    return true;
  }

  /** Where a permission is required, the guard of all routes has seen to it; then only missing keys are missing. */
  private async requireKnown(principal: Principal | null, rule: AccessRule, id: string): Promise<void> {
    const key = await this.keys.findOwnership(id, principal?.signedInUserId ?? null);
    if (principal === null || key === null) throw apiKeyNotFound();
    if (rule.kind === 'permission') return;
    const known = rule.kind === 'owner' ? READ : rule.kind === 'owner-or' ? rule : null;
    if (known === null) throw apiKeyNotFound();
    requireStanding(principal, known, key);
  }
}
