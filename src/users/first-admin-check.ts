import type { DataSource } from 'typeorm';
import { type StartCheck, StartRefusal } from '../common/start-refusal.js';
import type { Config } from '../config/config.js';
import { PasswordRules } from './password-rules.js';

/**
 * Whether `ADMIN_PASSWORD` may become the password of the first admin. Where there are users already, it is not used,
 * and nothing is refused.
 */
export function firstAdminCheck(config: Config, dataSource: DataSource): StartCheck {
  return {
    check: 'ADMIN_PASSWORD is fit for the first admin',
    run: async () => {
      if (config.adminPassword === null || (await hasUsers(dataSource))) return null;
      const problem = await new PasswordRules(config).problem(config.adminPassword, {
        email: config.adminEmail,
        name: '',
      });
      if (problem === null) return null;
      throw new StartRefusal(
        `ADMIN_PASSWORD ${problem}. Give another one, or none: then one is generated and printed.`,
      );
    },
  };
}

/** The doctor may look at a database that has no schema yet. */
async function hasUsers(dataSource: DataSource): Promise<boolean> {
  const [table] = await dataSource.query<unknown[]>(`SELECT 1 FROM pg_class WHERE oid = to_regclass('users')`);
  if (!table) return false;
  return (await dataSource.query<unknown[]>('SELECT 1 FROM users LIMIT 1')).length > 0;
}
