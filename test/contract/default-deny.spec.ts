import { describe, expect, it } from '@jest/globals';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Public } from '../../src/access/decorators.js';
import { AppModule } from '../../src/server/app.module.js';
import { dataSource } from '../../src/database/data-source.js';
import { entities } from '../../src/server/entities.js';
import { testConfig } from '../support/app.js';
import { createTestDatabase } from '../support/postgres.js';

@Controller('stray')
class StrayController {
  @Get('open')
  @Public()
  open(): string {
    return 'open';
  }

  @Get('forgotten')
  forgotten(): string {
    return 'this must never be served';
  }
}

@Controller('declared')
class DeclaredController {
  @Get()
  @Public()
  open(): string {
    return 'open';
  }
}

describe('a route without an access rule', () => {
  it('keeps the server from starting, by name', async () => {
    await expect(startWith(StrayController)).rejects.toThrow(
      /declare no access rule: GET \/stray\/forgotten \(StrayController\.forgotten\)/,
    );
  });

  it('is all that keeps it from starting', async () => {
    await expect(startWith(DeclaredController)).resolves.toBeUndefined();
  });
});

async function startWith(controller: new () => object): Promise<void> {
  @Module({ controllers: [controller] })
  class ExtraModule {}

  const database = await createTestDatabase();
  const pool = await dataSource(database.appUrl, { max: 2, entities }).initialize();
  try {
    @Module({ imports: [AppModule.for(testConfig(), pool), ExtraModule] })
    class WholeModule {}

    const app = await NestFactory.create<NestFastifyApplication>(WholeModule, new FastifyAdapter(), {
      logger: false,
      abortOnError: false,
    });
    try {
      await app.init();
    } finally {
      await app.close();
    }
  } finally {
    await pool.destroy();
    await database.drop();
  }
}
