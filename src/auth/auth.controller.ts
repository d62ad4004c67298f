import { Body, Controller, Get, HttpCode, Post, Req, Res } from '@nestjs/common';
import { ApiOperation, ApiTags, ApiUnauthorizedResponse } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Caller, KnownCaller } from '../access/caller.js';
import { FromCaller, Public, SignedIn } from '../access/decorators.js';
import { Audited } from '../audit/audited.decorator.js';
import { ProblemView } from '../common/problem.view.js';
import { LoginDto } from './auth.dto.js';
import { AuthService } from './auth.service.js';
import { MeView, SessionView } from './auth.view.js';
import { DeviceCookie } from './device-cookie.js';
import { ReplacedSession } from './replaced-session.js';
import { SessionCookie } from './session-cookie.js';

/** Signing in and out. */
@ApiTags('Auth')
@Controller('auth')
export class AuthController {
  constructor(
    private readonly auth: AuthService,
    private readonly cookie: SessionCookie,
    private readonly replaced: ReplacedSession,
    private readonly devices: DeviceCookie,
  ) {}

  @Post('login')
  @HttpCode(200)
  @Public()
  @Audited('auth:login', 'user')
  @ApiOperation({
    summary: 'Sign in with e-mail and password',
    description:
      'Gives a bearer token, and the same token as httpOnly cookie for the console. A second cookie marks the browser: after failed ' +
      'sign-ins elsewhere it is still let in. Where a second factor is set up, the right password without a code is answered 401 ' +
      'MFA_REQUIRED: send the same again with `code`.',
  })
  @ApiUnauthorizedResponse({
    description:
      'E-mail or password is wrong, or the account is inactive: the answers are the same. Or a code is needed or wrong.',
    type: ProblemView,
  })
  async login(
    @FromCaller() caller: Caller,
    @Body() body: LoginDto,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<SessionView> {
    const origin = { ...caller, userAgent: request.headers['user-agent'] };
    const session = await this.auth.login(origin, body, this.devices.known(request));
    await this.replaced.end(caller, this.cookie.tokenOf(request));
    void reply.header('Cache-Control', 'no-store');
    void reply.header('Set-Cookie', [...this.cookie.of(session), this.devices.signedIn(request, session.user.id)]);
    return session;
  }

  @Post('logout')
  @HttpCode(204)
  @SignedIn({ withTemporaryPassword: true, whileEnrolling: true })
  @Audited('auth:logout', 'user')
  @ApiOperation({ summary: 'Sign out', description: 'Ends the session on all replicas at once.' })
  async logout(@FromCaller() caller: KnownCaller, @Res({ passthrough: true }) reply: FastifyReply): Promise<void> {
    await this.auth.logout(caller);
    void reply.header('Set-Cookie', this.cookie.ended());
  }

  @Get('me')
  @SignedIn({ withTemporaryPassword: true, whileEnrolling: true })
  @ApiOperation({
    summary: 'Who am I',
    description:
      'The caller, its roles, permissions and key policy, and what happened to the account of a signed-in person. A key sees itself, ' +
      'and nothing of its owner but the id.',
  })
  me(@FromCaller() caller: KnownCaller): Promise<MeView> {
    return this.auth.me(caller);
  }
}
