import { Body, Controller, Get, HttpCode, Post, Res } from '@nestjs/common';
import { ApiOperation, ApiTags, ApiUnauthorizedResponse } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import type { Caller, KnownCaller } from '../access/caller.js';
import { Audited, FromCaller, Public, SignedIn } from '../access/decorators.js';
import { ProblemView } from '../common/problem.view.js';
import { LoginDto } from './auth.dto.js';
import { AuthService } from './auth.service.js';
import { MeView, SessionView } from './auth.view.js';
import { SessionCookie } from './session-cookie.js';

/** Signing in and out. */
@ApiTags('Auth')
@Controller('auth')
export class AuthController {
  constructor(
    private readonly auth: AuthService,
    private readonly cookie: SessionCookie,
  ) {}

  @Post('login')
  @HttpCode(200)
  @Public()
  @Audited('auth:login', 'user')
  @ApiOperation({
    summary: 'Sign in with e-mail and password',
    description:
      'Gives a bearer token, and the same token as httpOnly cookie for the console. Where a second factor is set up, the right password ' +
      'without a code is answered 401 MFA_REQUIRED: send the same again with `code`.',
  })
  @ApiUnauthorizedResponse({ description: 'E-mail or password is wrong, or the account is disabled: the answers are the same. Or a code is needed or wrong.', type: ProblemView })
  async login(@FromCaller() caller: Caller, @Body() body: LoginDto, @Res({ passthrough: true }) reply: FastifyReply): Promise<SessionView> {
    const session = await this.auth.login(caller, body.email, body.password, body.code);
    void reply.header('Cache-Control', 'no-store');
    void reply.header('Set-Cookie', this.cookie.of(session));
    return session;
  }

  @Post('logout')
  @HttpCode(204)
  @SignedIn({ whileEnrolling: true })
  @Audited('auth:logout', 'user')
  @ApiOperation({ summary: 'Sign out', description: 'Ends the session on all replicas at once.' })
  async logout(@FromCaller() caller: KnownCaller, @Res({ passthrough: true }) reply: FastifyReply): Promise<void> {
    await this.auth.logout(caller);
    void reply.header('Set-Cookie', this.cookie.ended());
  }

  @Get('me')
  @SignedIn({ whileEnrolling: true })
  @ApiOperation({ summary: 'Who am I', description: 'The caller, its roles, permissions and key policy.' })
  me(@FromCaller() caller: KnownCaller): Promise<MeView> {
    return this.auth.me(caller);
  }
}
