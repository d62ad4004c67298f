import { parseArgs } from 'node:util';
import { StartRefusal } from '../common/start-refusal.js';
import { SECRET_NAMES, type SecretName } from '../config/generated-secrets.js';
import { CHANGE_STEPS, changeSecret, writeSecretFiles } from '../config/secret-files.js';

const USAGE = `npm run secrets -- DIRECTORY                 draws all five secrets into new files
npm run secrets -- DIRECTORY --add NAME      adds a new version, which verifies
npm run secrets -- DIRECTORY --use NAME      lets the newest version sign
npm run secrets -- DIRECTORY --retire NAME   removes the versions that no longer sign
NAME is one of ${SECRET_NAMES.join(', ')}. DIRECTORY may be a DATA_DIR with a secrets.json.`;

/** `npm run secrets`: draws secrets, and makes the steps of a change, in files. It needs no database. */
function main(): string {
  const [directory, ...more] = positionals;
  const steps = CHANGE_STEPS.filter((step) => values[step] !== undefined);
  if (directory === undefined || more.length > 0 || steps.length > 1) throw new StartRefusal(USAGE);
  const [step] = steps;
  if (step === undefined) return `${writeSecretFiles(directory).join('\n')}`;
  const name = values[step]!;
  if (!isSecretName(name)) throw new StartRefusal(USAGE);
  return changeSecret(directory, name, step);
}

function isSecretName(name: string): name is SecretName {
  return (SECRET_NAMES as readonly string[]).includes(name);
}

function parsed() {
  const name = { type: 'string' } as const;
  try {
    return parseArgs({ allowPositionals: true, options: { add: name, use: name, retire: name } });
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}\n`);
    process.exit(1);
  }
}

const { values, positionals } = parsed();
try {
  process.stdout.write(`${main()}\n`);
} catch (error) {
  if (!(error instanceof StartRefusal)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
