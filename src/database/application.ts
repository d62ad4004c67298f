import { type Application, appRoleOf } from '../../packages/embedded-postgres/src/application.js';
import { StartRefusal } from '../common/start-refusal.js';

/** What the embedded PostgreSQL is told of Latchkey: its name, its settings, and how a start is refused. */
export const LATCHKEY: Application = {
  name: 'latchkey',
  settings: { dataDir: 'DATA_DIR', url: 'DATABASE_URL' },
  Refusal: StartRefusal,
};

/** The role the application works as where it exists, on any PostgreSQL: it cannot alter the audit trail. */
export const APP_ROLE = appRoleOf(LATCHKEY);
