import { Controller, Get, HttpCode, Query, Req, Res } from '@nestjs/common';
import { ApiFoundResponse, ApiNotFoundResponse, ApiOperation, ApiQuery, ApiTags } from '@nestjs/swagger';
import { type SerializeOptions, stringifySetCookie } from 'cookie';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Caller } from '../../access/caller.js';
import { FromCaller, Public } from '../../access/decorators.js';
import { DomainError } from '../../common/domain-error.js';
import { ProblemView } from '../../common/problem.view.js';
import { Config } from '../../config/config.js';
import { CONSOLE_PATH } from '../../http/console.js';
import { Installation } from '../../installation/installation.js';
import { cookieName, cookieValue, cookieValues, isSecure, removals } from '../cookies.js';
import { SessionCookie } from '../session-cookie.js';
import { consoleAddress } from './console-address.js';
import { OidcLoginDto } from './oidc.dto.js';
import { type CallbackQuery, OidcSignIn, type SignInFailure } from './oidc-sign-in.service.js';
import { ATTEMPT_SECONDS } from './sign-in-attempts.js';

/** Signing in to the console with the identity provider. A browser goes here, so whatever happens it ends on a page. */
@ApiTags('Auth')
@ApiNotFoundResponse({ description: 'No identity provider is configured to sign in with.', type: ProblemView })
@Controller('auth/oidc')
export class OidcController {
  private readonly attemptCookie: SerializeOptions;

  constructor(
    private readonly signIn: OidcSignIn,
    private readonly sessionCookie: SessionCookie,
    private readonly config: Config,
    private readonly installation: Installation,
  ) {
    const secure = isSecure(config.publicUrl);
    // Lax: the browser comes back from another site, and `Strict` would not be sent then. `__Host-` takes no other
    // path.
    this.attemptCookie = { path: secure ? '/' : '/api/v1/auth/oidc', httpOnly: true, sameSite: 'lax', secure };
  }

  /** Name of the cookie that remembers a sign-in under way. */
  private get attemptName(): string {
    return cookieName('sign_in', this.config.publicUrl, this.installation.shortId);
  }

  @Get('login')
  @HttpCode(302)
  @Public()
  @ApiOperation({
    summary: 'Sign in to the console with the identity provider',
    description: 'For browsers: leads to the provider’s own page, which leads to the callback.',
  })
  @ApiFoundResponse({
    description:
      'To the identity provider; or to the console’s sign-in, with `problem=unavailable`, while that is away.',
  })
  async login(
    @Query() { returnTo = CONSOLE_PATH }: OidcLoginDto,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    try {
      const { location, cookie } = await this.signIn.begin(returnTo);
      void reply.header(
        'Set-Cookie',
        stringifySetCookie(this.attemptName, cookie, { ...this.attemptCookie, maxAge: ATTEMPT_SECONDS }),
      );
      leadTo(reply, location);
    } catch (error) {
      if (!(error instanceof DomainError && error.kind === 'unavailable')) throw error;
      leadTo(reply, this.signInPage('unavailable', returnTo));
    }
  }

  @Get('callback')
  @HttpCode(302)
  @Public()
  @ApiOperation({
    summary: 'End a sign-in with the identity provider',
    description:
      'Where the provider leads the browser back to; its address is registered there. Opens a session as `POST /auth/login` does.',
  })
  @ApiQuery({
    name: 'code',
    required: false,
    schema: { type: 'string' },
    description: 'What the server redeems for an ID token.',
  })
  @ApiQuery({
    name: 'state',
    required: false,
    schema: { type: 'string' },
    description: 'Of the sign-in that began in this browser.',
  })
  @ApiQuery({ name: 'error', required: false, schema: { type: 'string' }, description: 'Why there is no code.' })
  @ApiFoundResponse({
    description:
      'Signed in: to the console, with the session’s cookie. Otherwise to its sign-in, with `problem`: `expired`, `refused`, `not-admitted`, `throttled` or `unavailable`.',
  })
  async callback(
    @FromCaller() caller: Caller,
    @Req() request: FastifyRequest,
    @Query() query: CallbackQuery,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    const outcome = await this.signIn.complete(
      { ...caller, userAgent: request.headers['user-agent'] },
      cookieValue(request, this.attemptName),
      query,
    );
    const ended = this.attemptEnded(request);
    if ('failure' in outcome) {
      void reply.header('Set-Cookie', ended);
      return leadTo(reply, this.signInPage(outcome.failure, outcome.returnTo));
    }
    void reply.header('Set-Cookie', [...ended, ...this.sessionCookie.of(outcome.session)]);
    leadTo(reply, consoleAddress(this.config.publicUrl, outcome.returnTo));
  }

  private attemptEnded(request: FastifyRequest): string[] {
    if (cookieValues(request, this.attemptName).length > 1)
      return removals(this.attemptName, request, this.attemptCookie);
    return [stringifySetCookie(this.attemptName, '', { ...this.attemptCookie, expires: new Date(0), maxAge: 0 })];
  }

  private signInPage(problem: SignInFailure, returnTo: string | null): string {
    const search = new URLSearchParams({
      problem,
      ...(returnTo === null || returnTo === CONSOLE_PATH ? {} : { redirect: returnTo }),
    });
    return `${this.config.publicUrl}${CONSOLE_PATH}/sign-in?${search.toString()}`;
  }
}

/** The address we come from holds a code: it is told to nobody. */
function leadTo(reply: FastifyReply, location: string): void {
  void reply.header('Cache-Control', 'no-store').header('Referrer-Policy', 'no-referrer').header('Location', location);
}
