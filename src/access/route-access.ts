import { Injectable, type OnApplicationBootstrap, RequestMethod } from '@nestjs/common';
import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import { DiscoveryService, MetadataScanner, Reflector } from '@nestjs/core';
import { ACCESS_RULE, AUDITED, type AccessRule, type AuditedAct } from './access-rule.js';

/** One route as declared in code. */
export interface DeclaredRoute {
  readonly method: string;
  readonly path: string;
  readonly handler: string;
  readonly rule: AccessRule | undefined;
  readonly audited: AuditedAct | undefined;
  /** Types of the handler's parameters, as declared; interfaces are `Object`. */
  readonly parameterTypes: readonly unknown[];
}

/** Routes that change nothing of the management plane need no name in the audit trail. */
const READING = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Knows every route, and refuses to boot while one declares no access rule, or changes things unaudited. */
@Injectable()
export class RouteAccess implements OnApplicationBootstrap {
  constructor(
    private readonly discovery: DiscoveryService,
    private readonly scanner: MetadataScanner,
    private readonly reflector: Reflector,
  ) {}

  onApplicationBootstrap(): void {
    const undeclared = this.routes().filter((route) => route.rule === undefined);
    if (undeclared.length > 0) {
      const names = undeclared.map((route) => `${route.method} ${route.path} (${route.handler})`).join(', ');
      throw new Error(
        `These routes declare no access rule: ${names}. Add @RequirePermission, @OwnerOr, @SignedIn or @Public.`,
      );
    }
  }

  /** Routes that may change something but name no act for the audit trail. */
  unaudited(): DeclaredRoute[] {
    return this.routes().filter((route) => !READING.has(route.method) && route.audited === undefined);
  }

  /** All routes in the order of their modules. */
  routes(): DeclaredRoute[] {
    return this.discovery.getControllers().flatMap(({ instance, metatype }) => {
      if (!instance || typeof metatype !== 'function') return [];
      const prototype = Object.getPrototypeOf(instance) as Record<string, unknown>;
      return this.scanner.getAllMethodNames(prototype).flatMap((name) => {
        const handler = prototype[name] as (...args: unknown[]) => unknown;
        const method = Reflect.getMetadata(METHOD_METADATA, handler) as RequestMethod | undefined;
        if (method === undefined) return [];
        const paths = [Reflect.getMetadata(PATH_METADATA, handler) as string | string[]].flat();
        const base = [Reflect.getMetadata(PATH_METADATA, metatype) as string | string[]].flat();
        const targets = [handler, metatype];
        return base.flatMap((prefix) =>
          paths.map((path) => ({
            method: RequestMethod[method],
            path: `/${[prefix, path]
              .map((part) => part.replace(/^\/|\/$/g, ''))
              .filter(Boolean)
              .join('/')}`,
            handler: `${metatype.name}.${name}`,
            rule: this.reflector.getAllAndOverride<AccessRule | undefined>(ACCESS_RULE, targets),
            audited: this.reflector.getAllAndOverride<AuditedAct | undefined>(AUDITED, targets),
            parameterTypes: (Reflect.getMetadata('design:paramtypes', prototype, name) ?? []) as unknown[],
          })),
        );
      });
    });
  }
}
