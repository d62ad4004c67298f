import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Put, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Compressed } from '../common/compressed.js';
import { Tagged, Versioned } from '../audit/versioned.js';
import type { KnownCaller } from '../access/caller.js';
import { WaitsForReplicas } from '../audit/waits-for-replicas.js';
import { FromCaller, RequirePermission, SignedIn } from '../access/decorators.js';
import { Audited } from '../audit/audited.decorator.js';
import { Erasure } from './erasure.service.js';
import { OffBoarding } from './off-boarding.service.js';
import { Passwords } from './passwords.service.js';
import {
  CreateUserDto,
  DeleteUserQueryDto,
  EraseUserDto,
  SetPasswordDto,
  SetRolesDto,
  UpdateUserDto,
  UsersQueryDto,
} from './user.dto.js';
import { UserIdPipe } from './user-id.pipe.js';
import { UsersPageView, UserView } from './user.view.js';
import { UsersService } from './users.service.js';

/** What every change says that lets its caller act as the user. */
const KEY_OWNERS =
  'Where they own keys that are not revoked, or manage a service account that does, it also needs `platform:api-keys:update`.';

/** People and service accounts. */
@ApiTags('Users')
@Controller('users')
export class UsersController {
  constructor(
    private readonly users: UsersService,
    private readonly passwords: Passwords,
    private readonly offBoarding: OffBoarding,
    private readonly erasure: Erasure,
  ) {}

  @Get()
  @Compressed()
  @RequirePermission('platform:users:read')
  @Audited('users:read', 'user')
  @ApiOperation({ summary: 'List users', description: 'Newest first; deleted users are not listed.' })
  list(@Query() query: UsersQueryDto): Promise<UsersPageView> {
    return this.users.list(query);
  }

  @Post()
  @Tagged('user')
  @RequirePermission('platform:users:create')
  @Audited('users:create', 'user')
  @ApiOperation({
    summary: 'Add a person or a service account',
    description: 'You must hold everything the new user may do.',
  })
  create(@FromCaller() caller: KnownCaller, @Body() body: CreateUserDto): Promise<UserView> {
    return this.users.create(caller, body);
  }

  @Get(':id')
  @Tagged('user')
  @RequirePermission('platform:users:read')
  @Audited('users:read', 'user')
  @ApiOperation({ summary: 'Read a user' })
  get(@Param('id', UserIdPipe) id: string): Promise<UserView> {
    return this.users.get(id);
  }

  @Patch(':id')
  @Versioned('user')
  @WaitsForReplicas()
  @RequirePermission('platform:users:update')
  @Audited('users:update', 'user')
  @ApiOperation({
    summary: 'Change a user',
    description: `You must hold everything they may do. ${KEY_OWNERS} Deactivating them ends their sessions and stops their keys at once.`,
  })
  update(
    @FromCaller() caller: KnownCaller,
    @Param('id', UserIdPipe) id: string,
    @Body() body: UpdateUserDto,
  ): Promise<UserView> {
    return this.users.update(caller, id, body);
  }

  @Delete(':id')
  @Versioned('user')
  @WaitsForReplicas({ besides: DeleteUserQueryDto })
  @HttpCode(204)
  @RequirePermission('platform:users:delete')
  @Audited('users:delete', 'user')
  @ApiOperation({
    summary: 'Delete a user',
    description:
      `You must hold everything they may do. ${KEY_OWNERS} Of an owner of keys that are not revoked, say what becomes of them. ` +
      'Many keys are done in batches: if the request is cut off, send it again.',
  })
  delete(
    @FromCaller() caller: KnownCaller,
    @Param('id', UserIdPipe) id: string,
    @Query() query: DeleteUserQueryDto,
  ): Promise<void> {
    return this.offBoarding.delete(caller, id, query);
  }

  @Post(':id/erase')
  @Versioned('user')
  @WaitsForReplicas({ besides: DeleteUserQueryDto })
  @HttpCode(204)
  @RequirePermission('platform:users:delete')
  @Audited('users:erase', 'user')
  @ApiOperation({
    summary: 'Erase a person',
    description:
      `Deletes the user as \`DELETE /users/{id}\` does, with the same rules, and removes who they were: name, e-mail address and ` +
      'identity, in the audit trail, reports and lists too. Who was deleted before can be erased, by a caller who holds what the roles permit that the person had at last. ' +
      'Nobody erases themselves. It cannot be undone.',
  })
  erase(
    @FromCaller() caller: KnownCaller,
    @Param('id', UserIdPipe) id: string,
    @Body() body: EraseUserDto,
    @Query() query: DeleteUserQueryDto,
  ): Promise<void> {
    return this.erasure.erase(caller, id, body, query);
  }

  @Put(':id/roles')
  @Versioned('user')
  @WaitsForReplicas()
  @RequirePermission('platform:users:update')
  @Audited('users:update', 'user')
  @ApiOperation({
    summary: 'Set a user’s roles',
    description: `You must hold everything they may do, before and after. ${KEY_OWNERS} Takes effect on their next request.`,
  })
  setRoles(
    @FromCaller() caller: KnownCaller,
    @Param('id', UserIdPipe) id: string,
    @Body() body: SetRolesDto,
  ): Promise<UserView> {
    return this.users.setRoles(caller, id, body.roles);
  }

  @Put(':id/password')
  @HttpCode(204)
  @SignedIn({ withTemporaryPassword: true })
  @Audited('users:update', 'user')
  @ApiOperation({
    summary: 'Set a password',
    description:
      `Your own with the old one; another’s with \`platform:users:update\`, holding everything that user may do. ${KEY_OWNERS} ` +
      'Ends all sessions of the user but the one that asks. A password that is set for another user must be changed at the next sign-in. ' +
      'No key sets the password of its owner.',
  })
  setPassword(
    @FromCaller() caller: KnownCaller,
    @Param('id', UserIdPipe) id: string,
    @Body() body: SetPasswordDto,
  ): Promise<void> {
    return this.passwords.set(caller, id, body);
  }
}
