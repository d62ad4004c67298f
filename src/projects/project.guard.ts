import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { permissionDenied } from '../access/access.errors.js';
import { ACCESS_RULE, type AccessRule } from '../access/access-rule.js';
import { isUuid } from '../common/uuid.js';
import { invalidProjectId, projectNotFound } from './project.errors.js';
import { ProjectMembers } from './project-members.service.js';
import { isAtLeast } from './project-role.js';

/**
 * The guard of routes about one project that its members may call: a project of which the caller is no member looks
 * like one that does not exist, before any field is looked at. What changes the project asks again, on the locked row.
 */
@Injectable()
export class ProjectGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly members: ProjectMembers,
  ) {}

  /** @throws DomainError 400; 403 for a member whose role is not enough; 404 */
  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<FastifyRequest<{ Params: { id?: string } }>>();
    const { id } = request.params;
    const rule = this.reflector.getAllAndOverride<AccessRule>(ACCESS_RULE, [context.getHandler(), context.getClass()]);
    if (id === undefined || rule.kind !== 'member-or') return true;
    if (!isUuid(id)) throw invalidProjectId();
    const principal = request.caller?.principal ?? null;
    if (principal?.may(rule.permission)) return true;
    const role = principal && (await this.members.roleOf(principal, id.toLowerCase()));
    if (role === null) throw projectNotFound();
    if (!isAtLeast(role, rule.role)) throw permissionDenied(rule.permission);
    return true;
  }
}
