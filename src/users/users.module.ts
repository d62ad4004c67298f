import { Module } from '@nestjs/common';
import { UsersRepository } from './users.repository.js';

/** People and service accounts. */
@Module({ providers: [UsersRepository], exports: [UsersRepository] })
export class UsersModule {}
