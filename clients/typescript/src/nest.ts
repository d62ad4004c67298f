import {
  applyDecorators,
  type CanActivate,
  createParamDecorator,
  type DynamicModule,
  type ExecutionContext,
  HttpException,
  Inject,
  Injectable,
  type InjectionToken,
  Module,
  type ModuleMetadata,
  type OnApplicationShutdown,
  type OptionalFactoryDependency,
  type Provider,
  SetMetadata,
  UseGuards,
} from '@nestjs/common';
import { LatchkeyClient, type LatchkeyClientOptions } from './client.js';
import type { Verdict } from './contract.js';
import { type KeyRequirement, protect, type ProtectionOptions } from './protection/protect.js';
import type { Refusal } from './protection/refusal.js';

export type { FromRequest, KeyRequirement, ProtectionOptions } from './protection/protect.js';
export type { ProblemBody, Refusal } from './protection/refusal.js';

/** What the guard needs of a request; Express's and Fastify's both have it. */
export interface NestRequest {
  headers: Readonly<Record<string, string | string[] | undefined>>;
  url: string;
  originalUrl?: string;
  ip?: string;
  body?: unknown;
  apiKey?: Verdict | null;
}

interface NestResponse {
  header(name: string, value: string): unknown;
}

/** What a route asks of a key; functions are given the request of the platform. */
// Express's request or Fastify's: who writes the function knows.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type NestKeyRequirement = KeyRequirement<any>;

/** How to make the client, or the one there is: that is closed by who made it. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- as above
export type LatchkeyModuleOptions = (LatchkeyClientOptions | { client: LatchkeyClient }) & ProtectionOptions<any>;

/** Options that need other providers. */
export interface LatchkeyModuleAsyncOptions extends Pick<ModuleMetadata, 'imports'> {
  inject?: (InjectionToken | OptionalFactoryDependency)[];
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- what `inject` names, as in Nest's own modules
  useFactory: (...dependencies: any[]) => LatchkeyModuleOptions | Promise<LatchkeyModuleOptions>;
}

const OPTIONS = Symbol('latchkey options');
const REQUIREMENT = Symbol('latchkey requirement');

/**
 * Thrown by the guard. Nest's own filter answers it as it is: status, problem document, and the headers, which are on
 * the response already. A filter of your own finds the verdict here.
 */
export class ApiKeyRefused extends HttpException {
  constructor(readonly refusal: Refusal) {
    super({ ...refusal.problem }, refusal.status);
  }

  /** null: there was nothing to verify, or nobody to do it. */
  get verdict(): Verdict | null {
    return this.refusal.verdict;
  }
}

/** Verifies the request's key before the handler runs; used by `@RequireApiKey`. */
@Injectable()
export class ApiKeyGuard implements CanActivate {
  /** On a handler and on its class it stands twice before the same request, which is to count once. */
  private readonly passed = new WeakSet<NestRequest>();

  constructor(
    @Inject(LatchkeyClient) private readonly client: LatchkeyClient,
    @Inject(OPTIONS) private readonly options: LatchkeyModuleOptions,
  ) {}

  /** @throws ApiKeyRefused */
  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<NestRequest>();
    if (this.passed.has(request)) return true;
    const response = context.switchToHttp().getResponse<NestResponse>();
    const { authorization } = request.headers;
    const incoming = {
      authorization: typeof authorization === 'string' ? authorization : undefined,
      xApiKey: request.headers['x-api-key'],
      url: request.originalUrl ?? request.url,
      ip: request.ip,
    };
    const decision = await protect(this.client, request, incoming, requirementOf(context), this.options);
    if (decision.refusal !== null) {
      setHeaders(response, { ...decision.refusal.headers, 'Content-Type': 'application/problem+json; charset=utf-8' });
      throw new ApiKeyRefused(decision.refusal);
    }
    setHeaders(response, decision.headers);
    request.apiKey = decision.verdict;
    this.passed.add(request);
    return true;
  }
}

function requirementOf(context: ExecutionContext): KeyRequirement<NestRequest> {
  // The handler's own word counts before that of its class.
  for (const target of [context.getHandler(), context.getClass()]) {
    const requirement = Reflect.getMetadata(REQUIREMENT, target) as KeyRequirement<NestRequest> | undefined;
    if (requirement !== undefined) return requirement;
  }
  return {};
}

function setHeaders(response: NestResponse, headers: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(headers)) response.header(name, value);
}

/** Lets a request reach the handler (or any of the class) with a key that may do this. Needs {@link LatchkeyModule}. */
export function RequireApiKey(requirement: NestKeyRequirement = {}): ClassDecorator & MethodDecorator {
  return applyDecorators(SetMetadata(REQUIREMENT, requirement), UseGuards(ApiKeyGuard));
}

/** The verdict on the request's key, as a parameter of a handler behind {@link RequireApiKey}. */
export const CurrentApiKey: () => ParameterDecorator = createParamDecorator(
  (_: unknown, context: ExecutionContext): Verdict => {
    const { apiKey } = context.switchToHttp().getRequest<NestRequest>();
    if (!apiKey) throw new TypeError('@CurrentApiKey() needs @RequireApiKey() on the handler or its class.');
    return apiKey;
  },
);

/**
 * Makes `LatchkeyClient` and the guard available everywhere, and sends queued usage when the application ends
 * (`app.close()`, or a signal with `app.enableShutdownHooks()`). The end user's address is `request.ip`: behind a proxy
 * set `trustProxy` of the Fastify adapter or `trust proxy` of Express, or every user has the proxy's.
 */
@Module({})
export class LatchkeyModule implements OnApplicationShutdown {
  constructor(
    @Inject(LatchkeyClient) private readonly client: LatchkeyClient,
    @Inject(OPTIONS) private readonly options: LatchkeyModuleOptions,
  ) {}

  static forRoot(options: LatchkeyModuleOptions): DynamicModule {
    return moduleOf([{ provide: OPTIONS, useValue: options }], []);
  }

  static forRootAsync({ imports = [], inject = [], useFactory }: LatchkeyModuleAsyncOptions): DynamicModule {
    return moduleOf([{ provide: OPTIONS, inject, useFactory }], imports);
  }

  async onApplicationShutdown(): Promise<void> {
    if (!('client' in this.options)) await this.client.close();
  }
}

function moduleOf(providers: Provider[], imports: NonNullable<ModuleMetadata['imports']>): DynamicModule {
  const client: Provider = {
    provide: LatchkeyClient,
    inject: [OPTIONS],
    useFactory: (options: LatchkeyModuleOptions) =>
      'client' in options ? options.client : new LatchkeyClient(options),
  };
  return {
    module: LatchkeyModule,
    global: true,
    imports,
    providers: [...providers, client, ApiKeyGuard],
    exports: [LatchkeyClient, ApiKeyGuard, OPTIONS],
  };
}
