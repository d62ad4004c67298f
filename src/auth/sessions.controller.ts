import { Controller, Delete, Get, HttpCode, Param, Query, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import type { KnownCaller } from '../access/caller.js';
import { FromCaller, SignedIn } from '../access/decorators.js';
import { Audited } from '../audit/audited.decorator.js';
import { UserIdPipe } from '../users/user-id.pipe.js';
import { UserSessions } from '../users/user-sessions.service.js';
import { EndedSessionsView, SessionsView } from '../users/user-sessions.view.js';
import { SessionCookie } from './session-cookie.js';
import { SessionIdPipe } from './session-id.pipe.js';
import { EndSessionsQueryDto } from './sessions.dto.js';

/** The sessions of a user: one's own, and with `platform:users:update` those of others. */
@ApiTags('Users')
@Controller('users/:id/sessions')
export class SessionsController {
  constructor(
    private readonly sessions: UserSessions,
    private readonly cookie: SessionCookie,
  ) {}

  @Get()
  @SignedIn()
  @Audited('sessions:read', 'user')
  @ApiOperation({
    summary: 'List the sessions of a user',
    description: 'Your own; another user’s with `platform:users:update`.',
  })
  list(@FromCaller() caller: KnownCaller, @Param('id', UserIdPipe) id: string): Promise<SessionsView> {
    return this.sessions.list(caller, id);
  }

  @Delete()
  @HttpCode(200)
  @SignedIn()
  @Audited('sessions:revoke', 'user')
  @ApiOperation({
    summary: 'Sign out everywhere',
    description:
      'Ends your own sessions, this one included unless `except=current`; or those of another user, with `platform:users:update` ' +
      'and everything that user may do. Tokens of the identity provider are not ended here: they end at the provider.',
  })
  async endAll(
    @FromCaller() caller: KnownCaller,
    @Param('id', UserIdPipe) id: string,
    @Query() { except }: EndSessionsQueryDto,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<EndedSessionsView> {
    const ended = await this.sessions.endAll(caller, id, except === 'current');
    if (except === undefined && caller.principal.signedInUserId === id)
      void reply.header('Set-Cookie', this.cookie.ended());
    return { ended };
  }

  @Delete(':sessionId')
  @HttpCode(204)
  @SignedIn()
  @Audited('sessions:revoke', 'user')
  @ApiOperation({
    summary: 'End a session',
    description: 'One of your own; or of another user, with `platform:users:update` and everything that user may do.',
  })
  async end(
    @FromCaller() caller: KnownCaller,
    @Param('id', UserIdPipe) id: string,
    @Param('sessionId', SessionIdPipe) sessionId: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    await this.sessions.end(caller, id, sessionId);
    if (sessionId === caller.principal.sessionId) void reply.header('Set-Cookie', this.cookie.ended());
  }
}
