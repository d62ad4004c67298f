import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { permissionDenied } from '../access/access.errors.js';
import { ACCESS_RULE, type AccessRule } from '../access/access-rule.js';
import { isUuid } from '../common/uuid.js';
import { ProjectMembers } from '../projects/project-members.service.js';
import { isAtLeast } from '../projects/project-role.js';
import { invalidId, limitNotFound } from './limit.errors.js';
import { LimitsRepository } from './limits.repository.js';

const READ = 'platform:limits:read';

/**
 * The guard of routes about one limit that members of its project may call. A limit that the caller may not know looks
 * like one that does not exist, before any field is looked at. What changes the limit asks again, on the locked row.
 */
@Injectable()
export class LimitGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly limits: LimitsRepository,
    private readonly members: ProjectMembers,
  ) {}

  /** @throws DomainError 400; 403 for a caller who may see the limit and do no more; 404 */
  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<FastifyRequest<{ Params: { id: string } }>>();
    const rule = this.reflector.getAllAndOverride<AccessRule>(ACCESS_RULE, [context.getHandler(), context.getClass()]);
    if (rule.kind !== 'member-or') return true;
    const { id } = request.params;
    const principal = request.caller?.principal ?? null;
    const isHolder = principal?.may(rule.permission) === true;
    // What is no id names no limit of a project: only the permission would help.
    if (!isUuid(id)) throw isHolder ? invalidId('id') : permissionDenied(rule.permission);
    if (isHolder) return true;
    const limit = await this.limits.findById(id.toLowerCase());
    const projectId = limit?.targetKind === 'project' ? limit.targetId : null;
    const role = principal && projectId !== null ? await this.members.roleOf(principal, projectId) : null;
    if (isAtLeast(role, rule.role)) return true;
    const isKnown = limit !== null && (role !== null || principal?.may(READ));
    throw isKnown ? permissionDenied(rule.permission) : limitNotFound();
  }
}
