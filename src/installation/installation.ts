import { Injectable, type OnModuleInit } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import { type StartCheck, StartRefusal } from '../common/start-refusal.js';
import { InstallationRepository } from './installation.repository.js';

/** Digits of the id that tell two installations apart in a name. */
const SHORT_DIGITS = 8;

/** Which installation this process belongs to: the id that a migration of its database drew. */
@Injectable()
export class Installation implements OnModuleInit {
  /** The first 8 hexadecimal digits of the id; empty before the start of the application. */
  shortId = '';

  constructor(private readonly manager: EntityManager) {}

  /** @throws StartRefusal when the database does not say */
  async onModuleInit(): Promise<void> {
    const shortId = await findShortId(this.manager);
    if (shortId === null) throw new StartRefusal(NO_ROW);
    this.shortId = shortId;
  }
}

const NO_ROW = 'The table installation of this database has no row: restore a backup that has one.';

/** As `Installation.shortId`, for commands without an application; null where the database does not say. */
export async function findShortId(manager: EntityManager): Promise<string | null> {
  return (await new InstallationRepository(manager).findId())?.slice(0, SHORT_DIGITS) ?? null;
}

/** What a start refuses when the application is made; a database that is yet to be migrated has no such table. */
export function installationCheck(manager: EntityManager): StartCheck {
  return {
    check: 'the database says which installation it is',
    run: async () => {
      const shortId = await findShortId(manager);
      const [table] = await manager.query<unknown[]>(`SELECT 1 FROM pg_class WHERE oid = to_regclass('installation')`);
      if (shortId === null && table) throw new StartRefusal(NO_ROW);
      return shortId ?? 'the next start draws an id';
    },
  };
}
