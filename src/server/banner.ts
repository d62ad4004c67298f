import type { Config } from '../config/config.js';
import type { DemoAccess } from './demo.js';
import { CONSOLE_PATH } from '../http/console.js';
import type { FirstAdmin } from '../users/seed.js';

/**
 * What a start tells the person at the terminal; the generated password appears here and nowhere else. On standard
 * error: standard output carries the log, one JSON object a line.
 */
export function printBanner(
  config: Config,
  admin: FirstAdmin | null,
  warnings: readonly string[],
  demo: DemoAccess | null,
): void {
  const base = config.publicUrl;
  const lines = [
    '',
    `  Latchkey is ready at ${base}`,
    `  Console              ${base}${CONSOLE_PATH}`,
    ...(config.swaggerEnabled ? [`  Swagger UI           ${base}/docs`] : []),
    ...(admin === null ? [] : firstSteps(base, admin)),
    ...(demo === null ? [] : demoLines(demo)),
    ...warnings.flatMap((warning) => ['', `  ${warning}`]),
    '',
  ];
  process.stderr.write(`${lines.join('\n')}\n`);
}

function firstSteps(base: string, { email, password, isPasswordTemporary }: FirstAdmin): string[] {
  return [
    '',
    `  Admin                ${email}`,
    password === null
      ? `  Password             the one in ADMIN_PASSWORD${isPasswordTemporary ? '; it must be changed at the first sign-in' : ''}`
      : `  Password             ${password}   (shown this once)`,
    '',
    FIRST_STEP[password !== null ? 'generated' : isPasswordTemporary ? 'temporary' : 'given'],
    ...signIn(base, email, password),
    ...(isPasswordTemporary ? changePassword(base) : []),
    `    KEY=$(curl -s -X POST ${base}/api/v1/api-keys -H "authorization: Bearer $TOKEN" \\`,
    `      | sed 's/.*"secretKey":"\\([^"]*\\)".*/\\1/')`,
    '  Verify it:',
    `    curl -s ${base}/api/v1/verify -H "authorization: Bearer $TOKEN" -H 'content-type: application/json' -d "{\\"key\\":\\"$KEY\\"}"`,
  ];
}

const FIRST_STEP = {
  generated: '  Create a key:',
  given: '  Create a key; type the password where it waits for it:',
  temporary: '  Choose a password and create a key; type the password, and the new one, where it waits for them:',
} as const;

/** With the session of the sign-in, which may do nothing else before. */
function changePassword(base: string): string[] {
  const body = 'JSON.stringify({ password: process.env.NEW_PASSWORD, currentPassword: process.env.ADMIN_PASSWORD })';
  return [
    '    [ "$NEW_PASSWORD" ] || read -rs NEW_PASSWORD',
    `    ME=$(curl -s ${base}/api/v1/auth/me -H "authorization: Bearer $TOKEN" | sed 's/.*"user":{"id":"\\([^"]*\\)".*/\\1/')`,
    `    ADMIN_PASSWORD="$ADMIN_PASSWORD" NEW_PASSWORD="$NEW_PASSWORD" node -p ${shellQuoted(body)} \\`,
    `      | curl -s -X PUT ${base}/api/v1/users/$ME/password -H "authorization: Bearer $TOKEN" -H 'content-type: application/json' -d @-`,
  ];
}

/**
 * A password that an operator chose is not printed, and may hold what shells and JSON read as their own: it goes from
 * the environment, or from the terminal, through Node, which is there.
 */
function signIn(base: string, email: string, password: string | null): string[] {
  const token = `sed 's/.*"accessToken":"\\([^"]*\\)".*/\\1/')`;
  const login = `curl -s ${base}/api/v1/auth/login -H 'content-type: application/json'`;
  if (password !== null)
    return [`    TOKEN=$(${login} \\`, `      -d ${shellQuoted(JSON.stringify({ email, password }))} | ${token}`];
  const body = `JSON.stringify({ email: ${JSON.stringify(email)}, password: process.env.ADMIN_PASSWORD })`;
  return [
    '    [ "$ADMIN_PASSWORD" ] || read -rs ADMIN_PASSWORD',
    `    TOKEN=$(ADMIN_PASSWORD="$ADMIN_PASSWORD" node -p ${shellQuoted(body)} \\`,
    `      | ${login} -d @- | ${token}`,
  ];
}

/** One word of a POSIX shell, taken as it is. */
function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function demoLines(demo: DemoAccess): string[] {
  return [
    '',
    '  Demo data            people, keys and a service account; examples in Swagger UI work with it. In those of a verify,',
    '                       put the key that follows in place of the made-up one. These are shown here and nowhere else.',
    ...demo.people.map(({ email, password, role }) => `    ${email.padEnd(24)} ${password}   (${role})`),
    `    a key to verify          ${demo.exampleSecret}`,
    `    a gateway's key          ${demo.gatewaySecret}`,
  ];
}
